from dataclasses import replace

import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    IN_NFT,
    MASTER_2,
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
from tracer.cluster.model import ServicePort
from tracer.diagnosis.finding import Severity
from tracer.events import Hook

CAUSE = "vip-port-not-served"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:8443"
KNOWN = cluster(service(), endpoints=[THERE])
VISIBLE = handshake(0, f"{CLIENT_POD}:39000", "10.10.1.3:9000")


def routed(mode):
    state = node_state(mode=mode)
    return replace(state, known=state.known | {"routes"})


def refused(seconds=1, ends=ASK):
    return record(Hook.ICMP_SENT, seconds, *ends, detail=3 << 8 | 3, tcp_flags=2)


@pytest.mark.parametrize(
    "fate",
    [
        [refused()],
        [dropped(1, ASK, NETFILTER, IN_NFT)],
        [packet(1, *ASK, "S"), packet(1, *ASK[::-1], "RA")],
    ],
    ids=["rejected", "dropped", "reset"],
)
def test_a_port_that_the_service_does_not_have_is_named(fate):
    story = Story(KNOWN, node_state())
    story.tell(*fate)
    assert (story.only.cause, story.only.severity) == (CAUSE, Severity.WARNING)
    assert story.only.subject.service == "default/web"
    assert "80/tcp" in words(story.only)


def test_silence_is_weaker_evidence_and_weaker_still_after_losses():
    def confidence(lost):
        story = Story(KNOWN, node_state())
        story.tell(*VISIBLE, *asked_in_vain(1, *ASK), lost=lost)
        story.wait(1)
        assert story.causes == [CAUSE]
        return story.only.confidence

    assert 0.95 > confidence(0) > confidence(50)


def test_an_external_address_may_serve_others_as_well():
    balancer = "203.0.113.10"
    story = Story(cluster(service(load_balancer_ips=(parse(balancer),)), endpoints=[THERE]))
    story.tell(refused(1, (ASK[0], f"{balancer}:22")))
    assert (story.only.cause, story.only.severity) == (CAUSE, Severity.INFO)


@pytest.mark.parametrize("address", [MASTER_2, "198.51.100.7", "10.10.1.3"])
def test_addresses_of_nodes_pods_and_strangers_are_other_matters(address):
    known = cluster(service(external_ips=(parse(MASTER_2),)), endpoints=[THERE])
    story = Story(known)
    story.tell(refused(1, (ASK[0], f"{address}:8443")))
    story.wait(5)
    assert CAUSE not in story.causes


def test_a_daemon_that_answers_there_is_no_loss():
    story = Story(KNOWN, node_state())
    story.tell(*handshake(1, *ASK))
    story.wait(5)
    assert story.found == []


def test_a_service_without_endpoints_is_another_matter():
    story = Story(cluster(service()), node_state())
    story.tell(refused(1, (ASK[0], f"{VIP}:80")))
    assert story.causes == ["svc-no-endpoints"]


def test_it_closes_when_the_port_is_added():
    story = Story(KNOWN, node_state())
    story.tell(refused())
    ports = (ServicePort("http", 6, 80, "8080"), ServicePort("tls", 6, 8443, "8443"))
    story.cluster(cluster(service(ports=ports), endpoints=[THERE]))
    assert story.closed == [CAUSE]


def test_it_closes_when_nobody_asks_any_more():
    story = Story(KNOWN, node_state())
    story.tell(refused())
    story.wait(12)
    assert story.closed == [CAUSE]


@pytest.mark.parametrize(
    ("mode", "ip", "causes"),
    [
        ("iptables", "8.8.8.8", [CAUSE, "external-ip-hijack"]),
        ("ipvs", "192.168.9.9", [CAUSE]),
        ("", "192.168.9.9", ["dropped-unexplained"]),
    ],
)
def test_an_external_address_may_be_another_machines_in_ipvs_mode(mode, ip, causes):
    known = cluster(service(external_ips=(parse(ip),)), endpoints=[THERE])
    story = Story(known, routed(mode))
    story.tell(refused(ends=(ASK[0], f"{ip}:8443")))
    story.wait(4)
    assert sorted(story.causes) == sorted(causes)


def test_it_may_be_the_next_hop_while_routes_are_not_known():
    """Live they are read a moment after the first packets."""
    ip = "192.168.9.9"
    known = cluster(service(external_ips=(parse(ip),)), endpoints=[THERE])
    story = Story(known, node_state(mode="ipvs"))
    story.tell(refused(ends=(ASK[0], f"{ip}:8443")))
    assert CAUSE not in story.causes
    story.node(routed("ipvs"))
    assert story.causes == [CAUSE]
