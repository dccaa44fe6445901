from dataclasses import replace

from tests.builders import packet
from tests.tracer.diagnosis.story import (
    CHECKSUM,
    CLIENT,
    IN_RCV,
    MASTER_1,
    RPFILTER,
    THERE,
    Story,
    cluster,
    dropped,
    handshake,
    node_state,
    service,
    translated,
    with_sysctls,
    words,
)

CAUSE = "rp-filter-drop"
ASK = f"{CLIENT}:40000", f"{MASTER_1}:30080"
KNOWN = cluster(service(), endpoints=[THERE])
STRICT = with_sysctls(node_state(), net__ipv4__conf__all__rp_filter="1")


def test_the_kernels_reason_is_enough_at_once():
    story = Story(KNOWN, STRICT)
    story.tell(dropped(1, ASK, RPFILTER, IN_RCV))
    assert (story.only.cause, story.only.subject.node) == (CAUSE, "master-1")
    assert "net.ipv4.conf.all.rp_filter = 1" in words(story.only)
    assert f"ip route get {CLIENT} from {MASTER_1} iif <interface>" in words(story.only)


def test_many_flows_are_one_finding_of_the_node():
    story = Story(KNOWN, STRICT)
    for number in range(5):
        ends = f"{CLIENT}:{40000 + number}", f"{MASTER_1}:30080"
        story.tell(dropped(number, ends, RPFILTER, IN_RCV))
    assert story.only.count == 5


def test_the_interface_is_named_where_packets_show_it():
    story = Story(KNOWN, replace(STRICT, interfaces={2: "eth1"}))
    story.tell(packet(1, *ASK, "S"), dropped(1, ASK, RPFILTER, IN_RCV))
    assert "net.ipv4.conf.eth1.rp_filter=2" in words(story.only)


def test_another_reason_at_the_same_place_is_another_matter():
    story = Story(KNOWN, STRICT)
    story.tell(dropped(1, ASK, CHECKSUM, IN_RCV))
    story.wait(5)
    assert story.causes == ["dropped-unexplained"]


def test_strangers_are_not_our_affair():
    story = Story(KNOWN, STRICT)
    story.tell(dropped(1, ("198.51.100.1:1", "203.0.113.9:443"), RPFILTER, IN_RCV))
    story.wait(5)
    assert story.found == []


def test_a_drop_inside_a_pod_is_not_the_nodes():
    story = Story(KNOWN, STRICT)
    story.tell(dropped(1, ASK, RPFILTER, IN_RCV, netns=77))
    assert CAUSE not in story.causes


def test_it_closes_when_the_filter_is_off():
    story = Story(KNOWN, STRICT)
    story.tell(dropped(1, ASK, RPFILTER, IN_RCV))
    story.node(with_sysctls(node_state(), net__ipv4__conf__all__rp_filter="0"))
    assert story.closed == [CAUSE]


def test_it_closes_when_the_destination_answers_and_drops_stop():
    story = Story(KNOWN, STRICT)
    story.tell(dropped(1, ASK, RPFILTER, IN_RCV))
    other = f"{CLIENT}:41000", ASK[1]
    story.tell(translated(5, other[0], ASK[1]), *handshake(5, *other))
    story.wait(12)
    assert story.closed == [CAUSE]
