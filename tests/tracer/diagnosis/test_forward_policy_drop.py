from dataclasses import replace

from tests.builders import record
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    IN_HOOK,
    MASTER_1,
    NETFILTER,
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
    words,
)
from tracer.events import Hook
from tracer.node.xtables import XtChain, XtTables

CAUSE = "forward-policy-drop"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
KNOWN = cluster(service(), endpoints=[THERE])


def node(policy="DROP", ipv6=False):
    tables = {"filter": {"FORWARD": XtChain("FORWARD", policy)}}
    found = XtTables(ipv6, "nft", "iptables-save.txt", tables)
    state = node_state()
    return replace(state, xtables=(found,), known=state.known | {"xtables"})


DROPPED = dropped(1, ASK, NETFILTER, IN_HOOK)
VISIBLE = handshake(0, f"{CLIENT_POD}:39000", f"{MASTER_1}:9000")


def test_a_forwarded_request_that_netfilter_dropped_is_named():
    story = Story(KNOWN, node())
    story.tell(DROPPED)
    assert (story.only.cause, story.only.confidence) == (CAUSE, 0.85)
    assert "iptables -P FORWARD ACCEPT" in words(story.only)


def test_silence_is_weaker_evidence_and_weaker_still_after_losses():
    def confidence(lost):
        story = Story(KNOWN, node())
        story.tell(*VISIBLE, *asked_in_vain(1, *ASK), lost=lost)
        story.wait(1)
        assert story.causes == [CAUSE]
        return story.only.confidence

    assert 0.85 > confidence(0) > confidence(50)


def test_another_policy_is_another_matter():
    for state in (node("ACCEPT"), node("DROP", ipv6=True), node_state()):
        story = Story(KNOWN, state)
        story.tell(DROPPED)
        story.wait(5)
        assert CAUSE not in story.causes


def test_where_forwarded_traffic_gets_through_it_was_a_rule():
    story = Story(KNOWN, node())
    other = f"{CLIENT_POD}:41000"
    story.tell(translated(0.5, other), *handshake(0.5, other, ASK[1]), DROPPED)
    story.wait(5)
    assert CAUSE not in story.causes


def test_a_masqueraded_node_port_that_gets_through_says_nothing():
    story = Story(KNOWN, node())
    ends = f"{CLIENT}:40000", f"{MASTER_1}:30080"
    masked = translated(0.5, *ends, source=f"{MASTER_1}:50000")
    story.tell(masked, *handshake(0.5, *ends), DROPPED)
    assert story.causes == [CAUSE]


def test_a_request_that_was_mapped_and_sent_on_got_past_the_policy():
    story = Story(KNOWN, node())
    story.tell(*VISIBLE, translated(1, ASK[0]), *asked_in_vain(1, *ASK))
    story.wait(1)
    assert CAUSE not in story.causes


def test_what_is_delivered_here_is_another_matter():
    story = Story(KNOWN, node())
    story.tell(dropped(1, (f"{CLIENT}:40000", f"{MASTER_1}:30080"), NETFILTER, IN_HOOK))
    story.wait(5)
    assert CAUSE not in story.causes


def test_a_service_without_endpoints_is_the_root():
    story = Story(cluster(service()), node())
    story.tell(DROPPED, record(Hook.ICMP_SENT, 1, *ASK, detail=3 << 8 | 3, tcp_flags=2))
    assert story.causes == ["svc-no-endpoints"]


def test_it_closes_with_the_policy():
    story = Story(KNOWN, node())
    story.tell(DROPPED)
    story.node(node("ACCEPT"))
    assert story.closed == [CAUSE]


def test_a_pod_to_pod_request_counts_as_well():
    story = Story(KNOWN, node())
    story.tell(dropped(1, (f"{CLIENT_POD}:40000", f"{POD_HERE}:8080"), NETFILTER, IN_HOOK))
    assert story.causes == [CAUSE]
