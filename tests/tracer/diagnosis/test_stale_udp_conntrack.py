from dataclasses import replace

import pytest

from tests.builders import at, packet
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    MASTER_1,
    POD_THERE,
    VIP,
    Story,
    cluster,
    node_state,
    service,
    translated,
    words,
)
from tracer.address import parse
from tracer.cluster.model import ClusterChange, Endpoint, ServicePort, Turn
from tracer.events import Flag, Hook, Protocol

CAUSE = "stale-udp-conntrack"
ASK = f"{CLIENT_POD}:5353", f"{VIP}:53"
UDP = {"protocol": Protocol.UDP}
GONE = "10.10.2.77"
DNS = service(ports=(ServicePort("dns", 17, 53, "8053", 30053),))


def endpoint(ip):
    return Endpoint("default/web", "dns", 17, parse(ip), 8053, "worker-1", f"default/pod-{ip}")


KNOWN = cluster(DNS, endpoints=[endpoint(POD_THERE)])


def used(known, *mappings, mode="iptables", ends=ASK, lost=0):
    """The client goes on sending; answers would be visible, for another client has some."""
    story = Story(known, node_state(mode=mode))
    other = f"{CLIENT_POD}:6000"
    story.tell(
        packet(0, other, ends[1], **UDP), packet(0, ends[1], other, **UDP), *mappings, lost=lost
    )
    story.tell(*(packet(5 + second, *ends, **UDP) for second in range(3)))
    story.wait(3)
    return story


def leads_to(backend, seconds=1, flags=Flag.EXISTING, **fields):
    return translated(seconds, *ASK, backend, hook=Hook.CT_UPDATE, flags=flags, **UDP, **fields)


def untranslated():
    return leads_to(ASK[1])


def test_a_mapping_from_before_that_leads_to_no_endpoint_is_named():
    story = used(KNOWN, leads_to(f"{GONE}:8053"))
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(GONE))
    assert f"conntrack -D -p udp --orig-dst {VIP} --orig-port-dst 53" in words(story.only)


def test_a_mapping_older_than_its_endpoints_departure_is_named():
    left = ClusterChange(at(3), Turn.LEFT, "default/web", endpoint(GONE))
    known = replace(KNOWN, changes=(left,))
    story = used(known, translated(1, *ASK, f"{GONE}:8053", **UDP))
    assert story.causes == [CAUSE]


def test_a_mapping_younger_than_the_departure_is_lag():
    left = ClusterChange(at(0), Turn.LEFT, "default/web", endpoint(GONE))
    story = used(replace(KNOWN, changes=(left,)), translated(1, *ASK, f"{GONE}:8053", **UDP))
    assert story.causes == ["endpoint-removal-lag"]


def test_a_mapping_made_while_there_were_no_endpoints_translates_nothing():
    story = used(KNOWN, untranslated())
    assert story.causes == [CAUSE]
    assert "does not translate" in words(story.only)


@pytest.mark.parametrize(
    ("known", "mode"),
    [(cluster(DNS), "iptables"), (KNOWN, "ipvs")],
    ids=["no endpoints now either", "ipvs"],
)
def test_look_alikes_are_other_matters(known, mode):
    assert CAUSE not in used(known, untranslated(), mode=mode).causes


def test_a_slow_endpoint_is_another_matter():
    assert CAUSE not in used(KNOWN, leads_to(f"{POD_THERE}:8053")).causes


def test_a_node_port_of_another_nodes_address_is_not_translated_here():
    ends = ASK[0], f"{MASTER_1}:30053"
    mapping = translated(1, *ends, ends[1], hook=Hook.CT_UPDATE, flags=Flag.EXISTING, **UDP)
    assert CAUSE not in used(KNOWN, mapping, ends=ends).causes


def test_losses_make_silence_weaker_evidence():
    assert used(KNOWN, leads_to(f"{GONE}:8053"), lost=50).only.confidence < 0.5


def test_it_closes_when_the_client_is_answered():
    story = used(KNOWN, leads_to(f"{GONE}:8053"))
    story.tell(packet(story.now + 1, *ASK[::-1], **UDP))
    assert story.closed == [CAUSE]


@pytest.mark.parametrize("end_is_told", [True, False])
@pytest.mark.parametrize("packets_first", [True, False])
def test_it_closes_with_the_mapping_whichever_source_tells_first(packets_first, end_is_told):
    """Deleted as the remedy says, and the next request is mapped to an endpoint.

    Of an entry made before the trace the kernel tells no end, only the next beginning.
    """
    story = used(KNOWN, leads_to(f"{GONE}:8053"))
    now, again = story.now, {"flags": Flag.DST_NAT | Flag.REPLIED, **UDP}
    end = translated(now + 1, *ASK, f"{GONE}:8053", hook=Hook.CT_END, **UDP)
    kernel = (
        *((end,) if end_is_told else ()),
        translated(now + 1.1, *ASK, f"{POD_THERE}:8053", **UDP),
        translated(now + 1.2, *ASK, f"{POD_THERE}:8053", hook=Hook.CT_UPDATE, **again),
    )
    wire = packet(now + 1.1, *ASK, **UDP), packet(now + 1.2, *ASK[::-1], **UDP)
    for records in (wire, kernel) if packets_first else (kernel, wire):
        story.tell(*records, until=now + 2)
    story.wait(2)
    assert (story.causes, story.closed) == ([], [CAUSE])


def test_it_stays_while_one_of_its_mappings_does():
    other = f"{CLIENT_POD}:5354", ASK[1]
    story = used(KNOWN, leads_to(f"{GONE}:8053"))
    backend = {"backend": f"{GONE}:8053", **UDP}
    story.tell(translated(story.now, *other, hook=Hook.CT_UPDATE, flags=Flag.EXISTING, **backend))
    story.tell(*(packet(story.now + second, *other, **UDP) for second in range(3)))
    story.wait(3)
    story.tell(translated(story.now, *ASK, hook=Hook.CT_END, **backend))
    story.wait(2)
    assert story.causes == [CAUSE]
