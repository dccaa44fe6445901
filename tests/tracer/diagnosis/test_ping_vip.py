from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    IN_NFT,
    MASTER_2,
    NETFILTER,
    THERE,
    VIP,
    Story,
    cluster,
    dropped,
    node_state,
    service,
    words,
)
from tracer.diagnosis.finding import Severity
from tracer.events import Hook, Protocol

CAUSE = "ping-vip"
PING = f"{CLIENT_POD}:7", f"{VIP}:7"
ICMP = {"protocol": Protocol.ICMP, "tcp_flags": 0}
KNOWN = cluster(service(), endpoints=[THERE])


def test_a_refused_ping_is_explained_for_information():
    story = Story(KNOWN, node_state())
    story.tell(record(Hook.ICMP_SENT, 1, *PING, detail=3 << 8 | 3, **ICMP))
    assert (story.only.cause, story.only.severity) == (CAUSE, Severity.INFO)
    assert "80/tcp" in words(story.only)
    assert f"nc -vz {VIP} 80 " in words(story.only)


def test_a_dropped_ping_is_no_loss_of_the_service():
    story = Story(KNOWN, node_state())
    story.tell(dropped(1, PING, NETFILTER, IN_NFT, **ICMP))
    assert story.causes == [CAUSE]


def test_a_ping_that_is_answered_or_to_a_node_says_nothing():
    story = Story(KNOWN, node_state())
    echo = {"protocol": Protocol.ICMP}
    story.tell(packet(1, *PING, **echo), packet(1, *PING[::-1], **echo))
    story.tell(dropped(2, (PING[0], f"{MASTER_2}:7"), NETFILTER, IN_NFT, **ICMP))
    story.wait(5)
    assert story.found == []


def test_it_closes_when_nobody_pings_any_more():
    story = Story(KNOWN, node_state())
    story.tell(dropped(1, PING, NETFILTER, IN_NFT, **ICMP))
    story.wait(12)
    assert story.closed == [CAUSE]
