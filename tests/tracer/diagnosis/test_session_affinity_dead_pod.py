import pytest

from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    THERE,
    VIP,
    Story,
    cluster,
    handshake,
    node_state,
    refused_by,
    service,
    translated,
    words,
)
from tracer.address import parse

CAUSE = "session-affinity-dead-pod"
GONE = "10.10.2.77"
SERVER = f"{VIP}:80"
KNOWN = cluster(service(affinity_seconds=10800), endpoints=[THERE])


def failing(seconds, port, client=CLIENT_POD):
    return refused_by(seconds, (f"{client}:{port}", SERVER), f"{GONE}:8080")


def served(seconds, client="10.10.1.50"):
    ends = f"{client}:50000", SERVER
    return translated(seconds, ends[0]), *handshake(seconds, *ends)


def test_one_client_that_stays_on_a_departed_endpoint_is_named():
    story = Story(KNOWN, node_state())
    story.tell(*failing(1, 40000), *served(2), *failing(3, 40001))
    story.wait(3)
    finding = story.only
    assert (finding.cause, finding.count) == (CAUSE, 2)
    assert finding.subject.address == parse(GONE)
    assert f"grep -l 'src={CLIENT_POD} '" in words(finding)
    assert '"timeoutSeconds":300' in words(finding)


@pytest.mark.parametrize(
    ("mode", "command"),
    [
        ("ipvs", "sysctl -w net.ipv4.vs.expire_quiescent_template=1"),
        ("nftables", f"nft delete element ip kube-proxy $set '{{ {CLIENT_POD} }}'"),
    ],
)
def test_each_mode_forgets_the_client_in_its_own_way(mode, command):
    story = Story(KNOWN, node_state(mode=mode))
    story.tell(*failing(1, 40000), *served(2), *failing(3, 40001))
    story.wait(3)
    assert command in words(story.only)


def test_a_single_failure_is_lag():
    story = Story(KNOWN, node_state())
    story.tell(*failing(1, 40000), *served(2))
    story.wait(3)
    assert story.causes == ["endpoint-removal-lag"]


def test_without_another_clients_success_it_is_lag():
    story = Story(KNOWN, node_state())
    story.tell(*failing(1, 40000), *failing(3, 40001))
    story.wait(3)
    assert story.causes == ["endpoint-removal-lag"]


def test_without_affinity_it_is_lag():
    story = Story(cluster(service(), endpoints=[THERE]), node_state())
    story.tell(*failing(1, 40000), *served(2), *failing(3, 40001))
    story.wait(3)
    assert story.causes == ["endpoint-removal-lag"]


def test_it_closes_when_the_client_has_not_failed_there_for_a_while():
    story = Story(KNOWN, node_state())
    story.tell(*failing(1, 40000), *served(2), *failing(3, 40001))
    story.wait(70)
    assert CAUSE in story.closed
    assert story.found == []
