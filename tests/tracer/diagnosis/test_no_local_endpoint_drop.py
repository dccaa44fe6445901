import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    HERE,
    IN_NFT,
    IN_TCP,
    MASTER_1,
    NETFILTER,
    THERE,
    UNSPECIFIED,
    VIP,
    WORKER,
    Story,
    cluster,
    node_state,
    service,
    with_endpoints,
    words,
)
from tracer.events import Hook, TcpFlag

CAUSE = "no-local-endpoint-drop"
LOCAL = service(external_policy="Local", health_check_node_port=32122)
REMOTE_ONLY = cluster(LOCAL, endpoints=[THERE])


def dropped(
    seconds, client=f"{CLIENT}:40000", virtual=f"{MASTER_1}:30080", reason=NETFILTER, place=IN_NFT
):
    return record(
        Hook.DROP, seconds, client, virtual,
        tcp_flags=TcpFlag.SYN, reason=reason, detail=place,
    )  # fmt: skip


def test_a_node_port_drop_is_explained_by_policy():
    story = Story(REMOTE_ONLY, node_state())
    story.tell(dropped(1))
    finding = story.only
    assert finding.cause == CAUSE
    assert (finding.subject.service, finding.subject.node) == ("default/web", "master-1")
    assert "by policy (externalTrafficPolicy: Local)" in finding.summary
    assert "not a fault elsewhere" in finding.summary
    assert "endpoints only on worker-1" in words(finding)
    assert "(32122) answers 200" in words(finding)
    assert "NETFILTER_DROP at nft_do_chain+0x1c2" in words(finding)
    assert '{"spec":{"externalTrafficPolicy":"Cluster"}}' in words(finding)


def test_repeated_requests_without_answer_show_it_in_a_plain_capture():
    story = Story(REMOTE_ONLY)
    ends = f"{CLIENT}:40000", f"{MASTER_1}:30080"
    story.tell(packet(1, *ends, "S"), packet(2, *ends, "S"), packet(4, *ends, "S"))
    assert story.only.cause == CAUSE
    assert story.only.confidence == 0.8


def test_internal_policy_is_judged_for_cluster_ips():
    internal = service(internal_policy="Local")
    story = Story(cluster(internal, endpoints=[THERE]), node_state())
    story.tell(dropped(1, f"{CLIENT_POD}:40000", f"{VIP}:80"))
    assert story.only.cause == CAUSE
    assert "internalTrafficPolicy" in words(story.only)


@pytest.mark.parametrize(
    ("known", "virtual"),
    [
        (cluster(service(), endpoints=[THERE]), f"{MASTER_1}:30080"),
        (cluster(LOCAL, endpoints=[HERE, THERE]), f"{MASTER_1}:30080"),
        (REMOTE_ONLY, f"{WORKER}:30080"),
        (REMOTE_ONLY, f"{VIP}:80"),
    ],
    ids=["policy Cluster", "endpoint here", "the other node has one", "cluster address"],
)
def test_drops_for_other_reasons_are_not_blamed_on_policy(known, virtual):
    story = Story(known, node_state())
    story.tell(dropped(1, virtual=virtual))
    story.wait(4)
    assert story.causes == ["dropped-unexplained"]


def test_it_closes_when_the_node_gets_an_endpoint():
    story = Story(REMOTE_ONLY, node_state())
    story.tell(dropped(1))
    story.cluster(with_endpoints(REMOTE_ONLY, HERE, THERE))
    story.wait(5)
    assert story.found == []
    assert story.closed == [CAUSE]


def test_it_closes_when_the_policy_changes():
    story = Story(REMOTE_ONLY, node_state())
    story.tell(dropped(1))
    story.cluster(cluster(service(), endpoints=[THERE]))
    assert story.found == []


def test_ipvs_mode_sends_external_traffic_on_instead_of_dropping_it():
    story = Story(REMOTE_ONLY, node_state(mode="ipvs"))
    ends = f"{CLIENT}:40000", f"{MASTER_1}:30080"
    story.tell(packet(1, *ends, "S"), packet(2, *ends, "S"), packet(4, *ends, "S"))
    story.wait(10)
    assert CAUSE not in story.causes


def test_a_drop_elsewhere_is_not_netfilters():
    story = Story(REMOTE_ONLY, node_state())
    story.tell(dropped(1, reason=UNSPECIFIED, place=IN_TCP))
    story.wait(10)
    assert story.found == []


def test_old_kernels_tell_the_place_only():
    story = Story(REMOTE_ONLY, node_state())
    story.tell(dropped(1, reason=0))
    assert story.only.cause == CAUSE
