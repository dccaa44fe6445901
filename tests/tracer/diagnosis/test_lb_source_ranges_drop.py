import pytest

from tests.tracer.diagnosis.story import (
    CLIENT,
    IN_NFT,
    NETFILTER,
    THERE,
    VIP,
    Story,
    asked_in_vain,
    cluster,
    dropped,
    handshake,
    node_state,
    service,
    words,
)
from tracer.address import parse

CAUSE = "lb-source-ranges-drop"
BALANCER = "203.0.113.10"
ASK = f"{CLIENT}:40000", f"{BALANCER}:80"


def known(*ranges):
    return cluster(
        service(load_balancer_ips=(parse(BALANCER),), source_ranges=ranges), endpoints=[THERE]
    )


def kept_out(*ranges, ends=ASK):
    story = Story(known(*ranges), node_state())
    story.tell(dropped(1, ends, NETFILTER, IN_NFT))
    story.wait(5)
    return story


def test_a_client_in_none_of_the_ranges_is_named():
    story = kept_out("10.0.0.0/8", "192.0.2.0/24")
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(BALANCER))
    assert "policy, not a fault" in story.only.summary
    assert f'["10.0.0.0/8","192.0.2.0/24","{CLIENT}/32"]' in words(story.only)


@pytest.mark.parametrize("ranges", [(), ("192.168.50.0/24",), ("fd00::/8",)])
def test_a_client_that_is_let_in_is_dropped_for_another_reason(ranges):
    assert CAUSE not in kept_out(*ranges).causes


def test_a_range_that_is_none_lets_nobody_in():
    assert kept_out("no range").causes == [CAUSE]


def test_the_cluster_ip_is_not_filtered():
    assert CAUSE not in kept_out("10.0.0.0/8", ends=(ASK[0], f"{VIP}:80")).causes


def test_silence_is_weaker_evidence_and_weaker_still_after_losses():
    def confidence(lost):
        story = Story(known("10.0.0.0/8"), node_state())
        story.tell(*handshake(0, f"{CLIENT}:1", f"{CLIENT}:2"))
        story.tell(*asked_in_vain(1, *ASK), lost=lost)
        story.wait(1)
        assert story.causes == [CAUSE]
        return story.only.confidence

    assert 0.95 > confidence(0) > confidence(50)


def test_it_closes_when_the_client_is_let_in():
    story = kept_out("10.0.0.0/8")
    story.cluster(known("10.0.0.0/8", "192.168.0.0/16"))
    assert story.closed == [CAUSE]
