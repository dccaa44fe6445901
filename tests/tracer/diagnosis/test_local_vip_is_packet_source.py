import pytest

from tests.tracer.diagnosis.story import (
    CHECKSUM,
    IN_NFT,
    IN_RCV,
    MASTER_1,
    THERE,
    UNSPECIFIED,
    Story,
    cluster,
    dropped,
    node_state,
    service,
    words,
)
from tracer.address import parse

CAUSE = "local-vip-is-packet-source"
BALANCER = "203.0.113.10"
PROBE = f"{BALANCER}:40000", f"{MASTER_1}:30080"
KNOWN = cluster(service(load_balancer_ips=(parse(BALANCER),)), endpoints=[THERE])
BOUND = node_state(BALANCER, mode="ipvs")


def test_a_probe_from_an_address_bound_here_is_named():
    story = Story(KNOWN, BOUND)
    story.tell(dropped(1, PROBE, UNSPECIFIED, IN_RCV))
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(BALANCER))
    assert "ipMode: Proxy" in words(story.only)
    assert f"ip addr del {BALANCER}/32 dev kube-ipvs0" in words(story.only)


@pytest.mark.parametrize(
    ("reason", "place", "netns"),
    [(CHECKSUM, IN_RCV, 0), (UNSPECIFIED, IN_NFT, 0), (UNSPECIFIED, IN_RCV, 77)],
)
def test_other_drops_are_other_matters(reason, place, netns):
    story = Story(KNOWN, BOUND)
    story.tell(dropped(1, PROBE, reason, place, netns=netns))
    assert CAUSE not in story.causes


def test_an_address_that_is_not_bound_here_is_another_matter():
    story = Story(KNOWN, node_state(mode="ipvs"))
    story.tell(dropped(1, PROBE, UNSPECIFIED, IN_RCV))
    assert CAUSE not in story.causes


def test_it_closes_when_the_address_is_given_back():
    story = Story(KNOWN, BOUND)
    story.tell(dropped(1, PROBE, UNSPECIFIED, IN_RCV))
    story.node(node_state(mode="ipvs"))
    assert story.closed == [CAUSE]
