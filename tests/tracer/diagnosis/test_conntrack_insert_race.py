from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    THERE,
    VIP,
    Story,
    cluster,
    node_state,
    service,
    translated,
)
from tracer.cluster.model import ServicePort
from tracer.events import Hook, Protocol

CAUSE = "conntrack-insert-race"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:53"
UDP = {"protocol": Protocol.UDP}
KNOWN = cluster(service(ports=(ServicePort("dns", 17, 53, "8053"),)), endpoints=[THERE])


def clash(seconds, **fields):
    return record(Hook.CT_FAILED, seconds, *ASK, **(UDP | fields))


def test_a_datagram_whose_mapping_clashed_is_lost():
    story = Story(KNOWN, node_state())
    story.tell(packet(1, *ASK, **UDP), clash(1))
    assert (story.only.cause, story.only.subject.service) == (CAUSE, "default/web")


def test_the_answer_to_the_repetition_takes_it_back():
    story = Story(KNOWN, node_state())
    story.tell(packet(1, *ASK, **UDP), clash(1))
    story.tell(translated(6, *ASK, **UDP), packet(6, *ASK, **UDP), packet(6, *ASK[::-1], **UDP))
    assert story.found == []
    assert story.closed == [CAUSE]


def test_tcp_repeats_by_itself():
    story = Story(KNOWN, node_state())
    story.tell(clash(1, protocol=Protocol.TCP, tcp_flags=2))
    assert story.found == []


def test_what_fails_again_and_again_is_no_race():
    story = Story(KNOWN, node_state())
    story.tell(packet(1, *ASK, **UDP), clash(1), packet(5, *ASK, **UDP), clash(5))
    story.wait(1)
    assert story.causes == ["snat-port-exhaustion"]
