from dataclasses import replace

import pytest

from tests.builders import at, packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    HERE,
    IN_TCP,
    MERGED,
    NO_SOCKET,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    dropped,
    endpoint,
    handshake,
    node_state,
    pod,
    service,
    translated,
    with_endpoints,
    words,
)
from tracer.address import parse
from tracer.cluster.model import ClusterChange, Turn
from tracer.events import Flag, Hook, Origin, TcpFlag

CAUSE = "endpoint-removal-lag"
CLIENT = f"{CLIENT_POD}:40000"
GONE = cluster(service(), endpoints=[HERE])


def refused(seconds, client=CLIENT):
    """Translated, and the reset of the pod's address, translated back or not."""
    return (
        translated(seconds, client),
        packet(seconds, client, f"{VIP}:80", "S"),
        packet(seconds, f"{POD_THERE}:8080", client, "RA"),
    )


def test_a_backend_that_left_the_slice_is_named():
    story = Story(GONE, node_state())
    story.tell(*refused(1))
    finding = story.only
    assert finding.cause == CAUSE
    assert finding.confidence == 0.9
    assert (finding.subject.service, finding.subject.address) == ("default/web", parse(POD_THERE))
    assert f"{POD_THERE}:8080 is not among the usable endpoints" in words(finding)
    assert f"refused with a reset from {POD_THERE}" in words(finding)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded", "Pending"])
def test_an_endpoint_whose_pod_does_not_run_is_named(phase):
    pods = [pod(POD_THERE, "worker-1", phase=phase)]
    story = Story(cluster(service(), endpoints=[THERE], pods=pods), node_state())
    story.tell(*refused(1))
    assert story.only.cause == CAUSE
    assert phase in words(story.only)


def test_a_pod_that_is_no_more_is_named():
    story = Story(cluster(service(), endpoints=[THERE], pods=[]), node_state())
    story.tell(*refused(1))
    assert "which is no more" in words(story.only)


def test_no_route_and_drops_count_as_well():
    story = Story(GONE, node_state(mode="ipvs"))
    ends = CLIENT, f"{VIP}:80"
    story.tell(
        record(Hook.IPVS_NEW, 1, *ends, nat=(CLIENT, f"{POD_THERE}:8080"), flags=Flag.IPVS),
        record(Hook.IPVS_NO_ROUTE, 1, *ends),
    )
    assert story.only.cause == CAUSE
    assert "no route to the backend" in words(story.only)


def test_an_everyday_drop_of_a_connection_that_works_is_no_failure():
    story = Story(GONE, node_state(mode="ipvs"))
    ends = CLIENT, f"{VIP}:80"
    story.tell(
        record(Hook.IPVS_NEW, 1, *ends, nat=(CLIENT, f"{POD_THERE}:8080"), flags=Flag.IPVS),
        dropped(1, ends, MERGED, IN_TCP),
    )
    assert story.found == []
    story.tell(*handshake(1, CLIENT, f"{VIP}:80"), until=10)
    assert story.found == []


def test_silence_counts_after_three_seconds_and_less_when_records_were_lost():
    story = Story(GONE, node_state())
    asked = [packet(second, CLIENT, f"{VIP}:80", "S") for second in (1, 2)]
    story.tell(translated(1, CLIENT), *asked)
    assert story.found == []
    story.wait(3, lost=1)
    assert story.only.cause == CAUSE
    assert story.only.confidence == pytest.approx(0.3)


def test_a_departed_backend_that_still_answers_is_fine():
    story = Story(GONE, node_state())
    story.tell(translated(1, CLIENT), packet(1, CLIENT, f"{VIP}:80", "S"))
    story.tell(packet(1.1, f"{POD_THERE}:8080", CLIENT, "SA"))
    story.wait(20)
    assert story.found == []


def test_connections_from_before_are_not_new():
    story = Story(GONE, node_state())
    flags = Flag.DST_NAT | Flag.EXISTING | Flag.REPLIED | Flag.ASSURED
    story.tell(translated(1, CLIENT, flags=flags), origin=Origin.CONNTRACK)
    ends = CLIENT, f"{VIP}:80"
    story.tell(record(Hook.DROP, 2, *ends, reason=NO_SOCKET, detail=IN_TCP, tcp_flags=TcpFlag.ACK))
    story.wait(10)
    assert story.found == []


def test_a_cluster_without_slices_proves_nothing():
    from dataclasses import replace

    story = Story(replace(GONE, known=frozenset({"services"})), node_state())
    story.tell(*refused(1))
    assert story.causes == ["refused-by-backend"]


def test_affinity_is_mentioned():
    story = Story(cluster(service(affinity_seconds=10800), endpoints=[HERE]), node_state())
    story.tell(*refused(1))
    assert story.causes == ["refused-by-backend"]  # until it is clear how others fare
    story.wait(3)
    assert story.only.cause == CAUSE
    assert "keeps a client on its backend for 10800 s" in words(story.only)


def test_a_slice_that_follows_later_replaces_the_fallback():
    known = cluster(service(), endpoints=[HERE, THERE])
    story = Story(known, node_state())
    story.tell(*refused(1))
    assert story.causes == ["refused-by-backend"]
    story.now = 5.0
    story.cluster(with_endpoints(known, HERE))
    assert story.causes == [CAUSE]


def test_it_closes_when_nothing_is_sent_there_any_more():
    story = Story(GONE, node_state())
    story.tell(*refused(1))
    story.wait(15)
    assert story.causes == [CAUSE]
    story.wait(20)
    assert story.closed == [CAUSE]


def test_it_closes_when_the_endpoint_is_back():
    story = Story(GONE, node_state())
    story.tell(*refused(1))
    story.cluster(with_endpoints(GONE, HERE, endpoint(POD_THERE, "worker-1")))
    assert story.found == []


def test_it_says_how_long_ago_the_backend_left():
    left = ClusterChange(at(0.4), Turn.LEFT, "default/web", THERE)
    story = Story(replace(GONE, changes=(left,)), node_state())
    story.tell(*refused(1))
    assert "it had left 0.6 s before the last of these connections began" in words(story.only)


def test_pods_of_another_node_that_are_not_read_are_not_gone():
    known = replace(cluster(service(), endpoints=[THERE], pods=[]), pods_of="master-1")
    story = Story(known, node_state())
    story.tell(*refused(1))
    assert story.only.cause != CAUSE
