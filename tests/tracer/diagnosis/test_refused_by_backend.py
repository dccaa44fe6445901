from dataclasses import replace

import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    handshake,
    node_state,
    service,
    translated,
    words,
)
from tracer.cluster.model import ServicePort
from tracer.diagnosis.finding import Severity
from tracer.events import Flag, Hook, Protocol, TcpFlag

CAUSE = "refused-by-backend"
CLIENT, SERVER, POD = f"{CLIENT_POD}:40000", f"{VIP}:80", f"{POD_THERE}:8080"
READY = cluster(service(), endpoints=[THERE])


def refused(seconds, client=CLIENT):
    return (
        translated(seconds, client),
        packet(seconds, client, SERVER, "S"),
        packet(seconds, POD, client, "RA"),
    )


def test_a_ready_backend_that_resets_the_request_is_named():
    story = Story(READY, node_state())
    story.tell(*refused(1))
    finding = story.only
    assert (finding.cause, finding.severity) == (CAUSE, Severity.WARNING)
    assert finding.confidence == 0.95
    assert "delivered, not lost" in finding.summary
    assert "usable endpoint" in words(finding)


def test_the_kernels_reset_inside_the_pod_is_the_backends():
    story = Story(READY, node_state())
    syn = {"tcp_flags": TcpFlag.SYN}
    story.tell(translated(1, CLIENT), record(Hook.RST_SENT, 1, CLIENT, POD, netns=77, **syn))
    assert story.only.cause == CAUSE


def test_a_reset_from_the_service_address_alone_is_less_sure():
    story = Story(READY)
    story.tell(packet(1, CLIENT, SERVER, "S"), packet(1, SERVER, CLIENT, "RA"))
    story.wait(3)
    assert (story.only.cause, story.only.confidence) == (CAUSE, 0.6)
    assert story.only.severity == Severity.INFO


def test_a_reset_that_outran_the_kernels_word_waits_for_it():
    story = Story(READY)
    story.tell(packet(1, CLIENT, SERVER, "S"), packet(1, SERVER, CLIENT, "RA"))
    assert story.found == []
    story.tell(translated(1.1, CLIENT))
    assert (story.only.cause, story.only.confidence) == (CAUSE, 0.95)


def test_the_end_of_the_input_ends_the_wait():
    story = Story(READY)
    story.tell(packet(1, CLIENT, SERVER, "S"), packet(1, SERVER, CLIENT, "RA"))
    story.pipeline.finish()
    assert story.only.confidence == 0.6


def test_a_closed_udp_port_of_the_pod_is_the_backends_word():
    story = Story(READY, node_state())
    ends = {"protocol": Protocol.UDP}
    story.tell(
        translated(1, CLIENT, **ends),
        record(Hook.ICMP_SENT, 1, CLIENT, POD, detail=3 << 8 | 3, **ends),
    )
    assert story.only.cause == CAUSE


def test_a_reset_after_the_answer_is_the_applications_affair():
    story = Story(READY, node_state())
    story.tell(
        translated(1, CLIENT),
        *handshake(1, CLIENT, SERVER),
        packet(1.2, CLIENT, SERVER, "A"),
        packet(1.3, SERVER, CLIENT, "RA", seq=1001),
    )
    story.wait(10)
    assert story.found == []


def test_a_half_open_scan_is_no_fault():
    story = Story(READY, node_state())
    story.tell(translated(1, CLIENT), *handshake(1, CLIENT, SERVER))
    story.tell(packet(1.1, CLIENT, SERVER, "R", seq=1001))
    story.wait(10)
    assert story.found == []


def test_conntrack_calling_the_reset_a_reply_changes_nothing():
    story = Story(READY, node_state())
    story.tell(*refused(1))
    story.tell(translated(2, CLIENT, hook=Hook.CT_END, flags=Flag.DST_NAT | Flag.REPLIED))
    story.wait(5)
    assert (story.only.cause, story.only.count) == (CAUSE, 1)


def test_it_closes_when_later_requests_are_answered_and_refusals_stop():
    story = Story(READY, node_state())
    story.tell(*refused(1))
    other = f"{CLIENT_POD}:41000"
    story.tell(translated(3, other), *handshake(3, other, SERVER))
    assert story.causes == [CAUSE]
    story.wait(10)
    assert story.closed == [CAUSE]


def test_one_working_backend_does_not_hide_a_broken_one():
    story = Story(READY, node_state())
    for number in range(10):
        working, broken = f"{CLIENT_POD}:{42000 + number}", f"{CLIENT_POD}:{43000 + number}"
        story.tell(*refused(2 * number, broken))
        story.tell(translated(2 * number + 1, working))
        story.tell(*handshake(2 * number + 1, working, SERVER))
    assert story.closed == []
    assert story.only.count == 10


UDP_SERVER, UDP_POD, UDP = f"{VIP}:53", f"{POD_THERE}:8053", {"protocol": Protocol.UDP}
ENDED = replace(THERE, port_name="dns", protocol=Protocol.UDP, port=8053)
DNS = cluster(service(ports=(ServicePort("dns", 17, 53, "8053", 30053),)), endpoints=[ENDED])


def refusal(seconds, sender, asked):
    """ICMP port unreachable that quotes the request, as one side of the translation sees it."""
    icmp = {"protocol": Protocol.ICMP, "reason": Protocol.UDP, "detail": 3 << 8 | 3}
    fields = {**icmp, "flags": Flag.QUOTED, "nat": (CLIENT, asked)}
    return record(Hook.PACKET, seconds, f"{sender}:0", f"{CLIENT_POD}:0", **fields)


@pytest.mark.parametrize("mapped_at", [0, 1, 2, 3])
def test_a_dead_pods_refusal_of_datagrams_is_its_own_whoever_tells_first(mapped_at):
    """Its copy behind translation comes from the Service's address."""
    story = Story(DNS, node_state())
    told = [
        [packet(1, CLIENT, UDP_SERVER, **UDP), packet(1, CLIENT, UDP_POD, ifindex=3, **UDP)],
        [refusal(1.1, POD_THERE, UDP_POD)],
        [refusal(1.1, VIP, UDP_SERVER)],
    ]
    told.insert(mapped_at, [translated(1, CLIENT, UDP_SERVER, UDP_POD, **UDP)])
    for records in told:
        story.tell(*records)
    assert (story.causes, story.closed) == ([CAUSE], [])
    assert f"from {POD_THERE}" in words(story.only)


def test_what_was_said_of_the_pods_leg_is_taken_back_once_its_mapping_is_told():
    story = Story(DNS, node_state())
    story.tell(packet(1, CLIENT, UDP_POD, ifindex=3, **UDP), refusal(1.1, POD_THERE, UDP_POD))
    story.wait(4)
    assert story.causes == ["dropped-unexplained"]
    story.tell(translated(1, CLIENT, UDP_SERVER, UDP_POD, **UDP))
    assert story.causes == [CAUSE]
