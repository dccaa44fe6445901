from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT,
    IN_HOOK,
    NETFILTER,
    THERE,
    VIP,
    Story,
    cluster,
    node_state,
    service,
    words,
)
from tracer.cluster.model import ServicePort
from tracer.events import Flag, Hook, Protocol

CAUSE = "unserved-vip-routing-loop"
ASK = f"{CLIENT}:40000", f"{VIP}:8443"
KNOWN = cluster(service(), endpoints=[THERE])


def looped(rounds, known=KNOWN, ends=ASK, **fields):
    story = Story(known, node_state())
    fields = {"seq": 7, "tcp": "S"} | fields
    story.tell(*(packet(1 + n / 1000, *ends, **fields) for n in range(rounds)))
    story.tell(record(Hook.ICMP_SENT, 1.1, *ends, detail=11 << 8, tcp_flags=2))
    return story


def test_a_request_that_goes_round_until_it_expires_is_named():
    story = looped(30)
    assert (story.only.cause, story.only.subject.service) == (CAUSE, "default/web")
    assert "seen 30 times" in words(story.only)
    assert "ICMP 11/0" in words(story.only)


def test_the_error_need_not_come_by_here():
    story = Story(KNOWN, node_state())
    story.tell(*(packet(1 + n / 1000, *ASK, "S", seq=7) for n in range(30)))
    story.wait(4)
    assert story.causes == [CAUSE]


def test_the_kernels_word_that_it_grew_too_old_waits_for_the_packets():
    """On its way round its redirects are dropped, too: conntrack calls them the request's."""
    story = Story(KNOWN, node_state())
    own = {"nat": ASK, "flags": Flag.AFTER}
    story.tell(
        record(Hook.DROP, 1, *ASK, reason=NETFILTER, detail=IN_HOOK, **own),
        record(Hook.ICMP_SENT, 1.1, *ASK, detail=11 << 8, tcp_flags=2),
    )
    assert story.found == []
    story.tell(*(packet(1 + n / 1000, *ASK, "S", seq=7) for n in range(30)))
    assert story.causes == [CAUSE]


def test_a_traced_route_is_no_loop():
    assert CAUSE not in looped(3).causes


def test_a_patient_client_is_no_loop():
    assert CAUSE not in looped(14).causes


def test_many_datagrams_are_no_loop():
    assert CAUSE not in looped(30, tcp="", protocol=Protocol.UDP).causes


def test_an_address_of_no_service_is_not_our_affair():
    assert looped(30, ends=(f"{CLIENT}:40000", "198.51.100.7:8443")).found == []


def test_a_served_port_is_another_matter():
    served = service(ports=(ServicePort("tls", 6, 8443, "8443"),))
    assert CAUSE not in looped(30, cluster(served, endpoints=[THERE])).causes


def test_it_closes_when_nothing_goes_round_any_more():
    story = looped(30)
    story.wait(12)
    assert story.closed == [CAUSE]
