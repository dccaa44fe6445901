import pytest

from tests.builders import record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    IN_IP_ERROR,
    IN_NFT,
    NETFILTER,
    NO_NEIGHBOUR,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    dropped,
    handshake,
    node_state,
    service,
    translated,
    words,
)
from tracer.address import parse
from tracer.events import Hook

CAUSE = "endpoint-unreachable-underlay"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
BEHIND = ASK[0], f"{POD_THERE}:8080"
KNOWN = cluster(service(), endpoints=[THERE])


def unreachable(code=1, ends=BEHIND):
    return record(Hook.ICMP_SENT, 1, *ends, detail=3 << 8 | code, tcp_flags=2)


@pytest.mark.parametrize(
    "fate",
    [
        unreachable(0),
        unreachable(1),
        dropped(1, BEHIND, NO_NEIGHBOUR, IN_IP_ERROR),
        record(Hook.IPVS_NO_ROUTE, 1, *ASK),
    ],
    ids=["network", "host", "neighbour", "ipvs"],
)
def test_an_endpoint_without_a_way_to_it_is_named(fate):
    story = Story(KNOWN, node_state())
    story.tell(translated(1, ASK[0]), fate)
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(POD_THERE))
    assert "worker-1" in words(story.only)
    assert f"nc -vz {POD_THERE} 8080" in words(story.only)


def test_a_backend_that_left_is_lag():
    story = Story(cluster(service(), endpoints=[]), node_state())
    story.tell(translated(1, ASK[0]), unreachable())
    assert CAUSE not in story.causes


def test_a_reject_rule_with_the_same_message_is_another_matter():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, ASK[0]), unreachable(), dropped(1, BEHIND, NETFILTER, IN_NFT))
    story.wait(5)
    assert CAUSE not in story.causes


def test_what_was_not_translated_is_another_matter():
    story = Story(KNOWN, node_state())
    story.tell(unreachable(1, ASK))
    assert CAUSE not in story.causes


def test_it_closes_when_the_endpoint_answers_again():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, ASK[0]), unreachable())
    other = f"{CLIENT_POD}:41000"
    story.tell(translated(20, other), *handshake(20, other, ASK[1]))
    story.wait(1)
    assert story.closed == [CAUSE]
