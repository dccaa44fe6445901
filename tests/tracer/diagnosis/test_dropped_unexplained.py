import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CHECKSUM,
    CLIENT,
    CLIENT_POD,
    EGRESS,
    IN_NFT,
    IN_PURGE,
    IN_QUEUE,
    IN_RCV,
    IN_TCP,
    MASTER_1,
    MERGED,
    NETFILTER,
    NO_SOCKET,
    POD_THERE,
    THERE,
    UNSPECIFIED,
    VIP,
    Story,
    cluster,
    handshake,
    node_state,
    service,
    translated,
    words,
)
from tracer.diagnosis.finding import Severity
from tracer.events import Flag, Hook, Protocol, TcpFlag

CAUSE = "dropped-unexplained"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
KNOWN = cluster(service(), endpoints=[THERE])


def drop(seconds, ends=ASK, reason=NETFILTER, place=IN_NFT, **fields):
    fields.setdefault("tcp_flags", TcpFlag.SYN)
    return record(Hook.DROP, seconds, *ends, reason=reason, detail=place, **fields)


def told(*records, known=KNOWN, wait=4):
    story = Story(known, node_state())
    story.tell(*records)
    story.wait(wait)
    return story


def test_reason_place_and_namespace_are_given():
    story = told(drop(1, netns=4026531999))
    finding = story.only
    assert (finding.cause, finding.severity) == (CAUSE, Severity.WARNING)
    assert "NETFILTER_DROP at nft_do_chain+0x1c2, netns 4026531999" in words(finding)
    assert finding.subject.service == "default/web"


def test_a_program_that_drops_what_is_translated_is_told_at_once():
    story = told(translated(1, ASK[0]), drop(1, reason=EGRESS, place=IN_QUEUE), wait=0)
    assert (story.only.cause, story.only.count) == (CAUSE, 1)
    assert "TC_EGRESS at __dev_queue_xmit" in words(story.only)


def test_a_copy_that_a_program_drops_is_no_loss():
    sent = packet(1, ASK[0], f"{POD_THERE}:8080", "S", ifindex=3)
    asked = packet(1, *ASK, "S")
    story = told(translated(1, ASK[0]), asked, sent, drop(1, reason=EGRESS, place=IN_QUEUE), wait=0)
    assert story.found == []


def test_a_drop_waits_for_the_retry():
    story = told(drop(1), wait=1)
    assert story.found == []
    story.tell(translated(2.5, ASK[0]), *handshake(2.5, *ASK))
    story.wait(10)
    assert story.found == []
    assert story.closed == []


def test_an_answer_that_comes_late_closes_it():
    story = told(drop(1))
    assert story.causes == [CAUSE]
    story.tell(translated(8, ASK[0]), *handshake(8, *ASK))
    assert story.found == []
    assert story.closed == [CAUSE]


@pytest.mark.parametrize(
    ("reason", "place"), [(NO_SOCKET, IN_TCP), (CHECKSUM, IN_RCV), (UNSPECIFIED, IN_RCV)]
)
def test_other_reasons_are_told_by_name(reason, place):
    story = told(drop(1, reason=reason, place=place))
    assert story.only.cause == CAUSE


@pytest.mark.parametrize(
    ("reason", "place"), [(UNSPECIFIED, IN_PURGE), (UNSPECIFIED, IN_TCP), (MERGED, IN_TCP)]
)
def test_housekeeping_is_no_loss(reason, place):
    assert told(drop(1, reason=reason, place=place)).found == []


def test_an_icmp_redirect_cut_by_nat_is_no_loss():
    """The node's own redirect, dropped in LOCAL_OUT."""
    redirect = drop(1, (f"{MASTER_1}:0", f"{CLIENT_POD}:0"), protocol=Protocol.ICMP, tcp_flags=0)
    assert told(redirect).found == []


def test_a_stranger_at_a_closed_port_is_not_our_affair():
    stranger = f"{CLIENT}:40000", f"{MASTER_1}:9999"
    assert told(drop(1, stranger, NO_SOCKET, IN_TCP)).found == []


def test_traffic_between_strangers_is_not_our_affair():
    assert told(drop(1, ("198.51.100.1:1", "203.0.113.9:443"))).found == []


def test_a_drop_on_a_flow_that_works_is_no_finding():
    story = told(translated(1, ASK[0]), *handshake(1, *ASK), drop(2, tcp_flags=TcpFlag.ACK))
    assert story.found == []


def test_a_drop_after_the_mapping_proves_nothing_while_answers_are_invisible():
    """Without packets or conntrack's word the flow may well be healthy."""
    story = told(translated(1, ASK[0]), drop(2, tcp_flags=TcpFlag.ACK), wait=20)
    assert story.found == []
    story.tell(translated(30, ASK[0], hook=Hook.CT_END, flags=Flag.DST_NAT))
    assert story.causes == [CAUSE]


def test_a_failed_conntrack_insertion_is_a_drop():
    story = told(record(Hook.CT_FAILED, 1, *ASK, tcp_flags=TcpFlag.SYN))
    assert "could not take up the connection" in words(story.only)


def test_an_icmp_error_from_elsewhere_needs_no_wait():
    story = Story(KNOWN, node_state())
    story.tell(drop(1), record(Hook.ICMP_SENT, 1, *ASK, detail=3 << 8 | 13, tcp_flags=TcpFlag.SYN))
    assert "ICMP 3/13" in words(story.only)


def test_a_service_port_nobody_programmed_is_refused_by_this_node():
    node_port = f"{CLIENT}:40000", f"{MASTER_1}:30080"
    syn = {"tcp_flags": TcpFlag.SYN}
    story = Story(KNOWN, node_state())
    story.tell(drop(1, node_port, NO_SOCKET, IN_TCP), record(Hook.RST_SENT, 1, *node_port, **syn))
    assert story.causes == [CAUSE]


def test_many_flows_and_places_make_one_finding_per_service():
    story = Story(KNOWN, node_state())
    for number in range(6):
        reason, place = ((NETFILTER, IN_NFT), (CHECKSUM, IN_RCV))[number % 2]
        story.tell(drop(1 + number, (f"{CLIENT_POD}:{40000 + number}", f"{VIP}:80"), reason, place))
    story.wait(4)
    assert story.only.count == 6
    assert "NETFILTER_DROP" in words(story.only)
    assert "IP_CSUM" in words(story.only)


def test_it_closes_when_requests_get_through_and_drops_stop():
    story = told(drop(1))
    other = f"{CLIENT_POD}:41000"
    story.tell(translated(6, other), *handshake(6, other, ASK[1]))
    story.wait(12)
    assert story.closed == [CAUSE]


def test_hostile_texts_stay_plain():
    story = Story(KNOWN, node_state())
    records = drop(1, reason=99)
    story.pipeline.texts.bind({99: "\x1b]0;owned\x07"})
    story.tell(records)
    story.wait(4)
    assert "\x1b" not in words(story.only)


def test_addresses_without_a_service_are_findings_of_their_own():
    unknown = cluster()
    pods = f"{CLIENT_POD}:1000", f"{POD_THERE}:5432"
    nodes = f"{CLIENT_POD}:1001", f"{MASTER_1}:5432"
    story = told(drop(1, pods), drop(1, nodes), known=unknown)
    assert story.causes == [CAUSE, CAUSE]
