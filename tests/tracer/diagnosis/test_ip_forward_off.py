import pytest

from tests.builders import record
from tests.tracer.diagnosis.story import (
    ADDRESS_ERROR,
    CLIENT,
    CLIENT_POD,
    IN_IP_ERROR,
    MASTER_1,
    POD_HERE,
    THERE,
    VIP,
    Story,
    asked_in_vain,
    cluster,
    dropped,
    handshake,
    node_state,
    service,
    translated,
    with_sysctls,
    words,
)
from tracer.diagnosis.finding import Severity
from tracer.events import Hook

CAUSE = "ip-forward-off"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
KNOWN = cluster(service(), endpoints=[THERE])
OFF = with_sysctls(node_state(), net__ipv4__ip_forward="0")
ON = with_sysctls(node_state(), net__ipv4__ip_forward="1")
VISIBLE = handshake(0, f"{CLIENT_POD}:39000", f"{POD_HERE}:9000")


def test_a_node_with_pods_is_told_from_its_state():
    story = Story(KNOWN, OFF)
    assert (story.only.cause, story.only.severity) == (CAUSE, Severity.CRITICAL)
    assert "sysctl -w net.ipv4.ip_forward=1" in words(story.only)
    story.node(ON)
    assert story.closed == [CAUSE]


def test_a_node_without_pods_of_its_own_needs_no_forwarding():
    assert Story(cluster(service(), pods=()), OFF).found == []
    elsewhere = with_sysctls(node_state(name="master-2"), net__ipv4__ip_forward="0")
    assert Story(KNOWN, elsewhere).found == []


def test_the_kernels_reason_is_enough_at_once():
    story = Story(KNOWN, node_state())
    story.tell(dropped(1, ASK, ADDRESS_ERROR, IN_IP_ERROR))
    assert (story.only.cause, story.only.confidence, story.only.count) == (CAUSE, 0.95, 1)


def test_flows_join_the_finding_of_the_state():
    story = Story(KNOWN, OFF)
    story.tell(dropped(1, ASK, ADDRESS_ERROR, IN_IP_ERROR))
    assert (story.only.cause, story.only.count) == (CAUSE, 1)
    assert "IP_INADDRERRORS" in words(story.only)


def test_silence_of_what_must_be_forwarded_joins_it():
    story = Story(KNOWN, OFF)
    story.tell(*VISIBLE, *asked_in_vain(1, *ASK))
    story.wait(1)
    assert story.causes == [CAUSE]
    assert story.only.count == 1


def test_silence_with_forwarding_on_is_another_matter():
    story = Story(KNOWN, ON)
    story.tell(*VISIBLE, *asked_in_vain(1, *ASK))
    story.wait(1)
    assert story.causes == ["unanswered-unexplained"]


@pytest.mark.parametrize(
    "ends", [(f"{MASTER_1}:40000", f"{VIP}:80"), (f"{CLIENT}:40000", f"{MASTER_1}:30080")]
)
def test_what_need_not_be_forwarded_is_another_matter(ends):
    story = Story(KNOWN, OFF)
    story.tell(*VISIBLE, *asked_in_vain(1, *ends))
    story.wait(1)
    assert sorted(story.causes) == [CAUSE, "unanswered-unexplained"]


def test_an_interface_that_forwards_by_itself_makes_silence_say_nothing():
    story = Story(KNOWN, with_sysctls(OFF, net__ipv4__conf__eth0__forwarding="1"))
    story.tell(*VISIBLE, *asked_in_vain(1, *ASK))
    story.wait(1)
    assert sorted(story.causes) == [CAUSE, "unanswered-unexplained"]


def test_a_refusal_is_another_matter():
    story = Story(cluster(service()), with_sysctls(OFF))
    story.tell(record(Hook.ICMP_SENT, 1, *ASK, detail=3 << 8 | 3, tcp_flags=2))
    assert sorted(story.causes) == [CAUSE, "svc-no-endpoints"]


def test_it_closes_when_answers_come_again():
    story = Story(KNOWN, node_state())
    story.tell(dropped(1, ASK, ADDRESS_ERROR, IN_IP_ERROR))
    other = f"{CLIENT_POD}:41000"
    story.tell(translated(5, other), *handshake(5, other, ASK[1]))
    story.wait(1)
    assert story.closed == [CAUSE]
