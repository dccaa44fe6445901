import pytest

from tests.builders import packet
from tests.tracer.diagnosis.story import (
    MASTER_1,
    THERE,
    Story,
    asked_in_vain,
    cluster,
    handshake,
    node_state,
    service,
    with_sysctls,
    words,
)
from tracer.diagnosis.finding import Severity
from tracer.events import Flag

CAUSE = "nodeport-localhost"
ASK = "127.0.0.1:40000", "127.0.0.1:30080"
KNOWN = cluster(service(), endpoints=[THERE])
LOOPBACK = {"flags": Flag.LOOPBACK}


def reset(ends=ASK):
    story = Story(KNOWN, node_state(mode="nftables"))
    story.tell(packet(1, *ends, "S", **LOOPBACK), packet(1, *ends[::-1], "RA", **LOOPBACK))
    return story


def test_a_node_port_asked_for_on_loopback_is_explained_for_information():
    story = reset()
    assert (story.only.cause, story.only.severity) == (CAUSE, Severity.INFO)
    assert f"curl {MASTER_1}:30080" in words(story.only)
    assert "route_localnet" not in words(story.only)


def test_ipv6_loopback_never_serves_node_ports():
    assert reset(("[::1]:40000", "[::1]:30080")).causes == [CAUSE]


def test_iptables_mode_swallows_it_without_route_localnet():
    state = with_sysctls(node_state(), net__ipv4__conf__all__route_localnet="0")
    story = Story(KNOWN, state)
    story.tell(*asked_in_vain(1, *ASK, **LOOPBACK))
    story.wait(1)
    assert story.causes == [CAUSE]
    assert "route_localnet = 0" in words(story.only)


@pytest.mark.parametrize("server", ["127.0.0.1:30081", f"{MASTER_1}:9999"])
def test_other_ports_and_addresses_are_other_matters(server):
    assert CAUSE not in reset((ASK[0], server)).causes


def test_what_is_answered_there_is_no_fault():
    story = Story(KNOWN, node_state(mode="nftables"))
    story.tell(*handshake(1, *ASK))
    story.wait(5)
    assert story.found == []


def test_it_closes_when_nobody_asks_any_more():
    story = reset()
    story.wait(12)
    assert story.closed == [CAUSE]
