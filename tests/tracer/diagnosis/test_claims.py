"""Addresses that Services claim, told from state and from flows."""

from dataclasses import replace

import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    HERE,
    MASTER_1,
    NODES,
    POD_HERE,
    POD_THERE,
    THERE,
    VIP,
    Story,
    asked_in_vain,
    cluster,
    handshake,
    node_state,
    service,
    translated,
    with_sysctls,
    words,
)
from tracer.address import parse
from tracer.diagnosis.finding import Severity
from tracer.events import Hook
from tracer.node.routing import NextHop, Route
from tracer.node.xtables import XtChain, XtTables

GATEWAY, PUBLIC, PRIVATE, BALANCER = "172.18.0.1", "8.8.8.8", "10.9.8.7", "172.18.0.210"
DEFAULT = Route(
    "main", "unicast", parse("0.0.0.0"), 96, False, hops=(NextHop("eth0", parse(GATEWAY)),)
)


def routed(state):
    return replace(state, routes=(DEFAULT,), known=state.known | {"routes"})


def claiming(*ips, **fields):
    return cluster(service(external_ips=tuple(map(parse, ips)), **fields), endpoints=[HERE])


@pytest.mark.parametrize(
    ("ip", "severity"), [(GATEWAY, Severity.CRITICAL), (PUBLIC, Severity.WARNING)]
)
def test_a_foreign_address_on_kube_ipvs0_is_a_black_hole(ip, severity):
    story = Story(claiming(ip), routed(node_state(ip, VIP, mode="ipvs")))
    assert (story.only.cause, story.only.severity) == (
        "ipvs-external-ip-blackhole-any-ip",
        severity,
    )
    assert f"ip addr del {ip}/32" in words(story.only)


def test_private_addresses_are_what_external_ips_are_for():
    assert Story(claiming(PRIVATE), routed(node_state(PRIVATE, VIP, mode="ipvs"))).causes == []
    assert Story(claiming(PRIVATE), routed(node_state())).causes == []


def test_requests_for_the_black_hole_count_for_it():
    story = Story(claiming(GATEWAY), routed(node_state(GATEWAY, VIP, mode="ipvs")))
    ends = f"{CLIENT_POD}:40000", f"{GATEWAY}:443"
    story.tell(packet(1, *ends, "S"), packet(1, *reversed(ends), "RA"))
    story.wait(4)
    assert (story.only.cause, story.only.count) == ("ipvs-external-ip-blackhole-any-ip", 1)
    story.cluster(replace(cluster(service(), endpoints=[HERE]), generation=9))
    assert story.causes == []


def test_in_other_modes_the_same_service_takes_its_own_port_over():
    story = Story(claiming(PUBLIC, MASTER_1), routed(node_state()))
    assert story.causes == ["external-ip-hijack"]
    assert PUBLIC in story.only.summary


def balanced(ignore="0", ip=BALANCER):
    known = cluster(service(load_balancer_ips=(parse(ip),)), endpoints=[HERE])
    state = node_state(ip, mode="ipvs")
    settings = {"net__ipv4__conf__all__arp_ignore": ignore}
    return Story(known, with_sysctls(state, **settings))


def test_every_node_answers_for_a_load_balancers_address():
    assert balanced(ip="172.18.0.210").causes == ["ipvs-arp-flux"]


def test_strict_arp_and_addresses_off_the_link_are_quiet():
    assert balanced(ignore="1").causes == []
    assert balanced(ip="203.0.113.10").causes == []


def test_a_node_object_with_a_services_address_is_named():
    stolen = (replace(NODES[0], addresses=(parse(VIP),)), *NODES[1:])
    known = replace(cluster(service(), endpoints=[THERE]), nodes=stolen)
    assert "vip-chosen-as-node-address" in Story(known, node_state()).causes


def test_a_request_that_kept_a_services_address_is_named_once_silent():
    story = Story(cluster(service(), endpoints=[THERE]), node_state(VIP, mode="ipvs"))
    ends = f"{VIP}:40000", f"{VIP}:80"
    story.tell(
        *handshake(0, f"{CLIENT_POD}:39000", f"{MASTER_1}:9000"),
        translated(1, ends[0], ends[1], f"{POD_THERE}:8080"),
        *asked_in_vain(1, *ends),
    )
    story.wait(3)
    assert story.causes == ["vip-chosen-as-node-address"]


def test_what_the_node_itself_asks_is_seen_only_behind_translation():
    """No answer was seen anywhere: its repetition alone tells that none came."""
    story = Story(cluster(service(), endpoints=[THERE]), node_state(VIP, mode="ipvs"))
    backend = f"{POD_THERE}:8080"
    story.tell(
        translated(1, f"{VIP}:40000", f"{VIP}:80", backend),
        *asked_in_vain(1, f"{VIP}:40000", backend),
    )
    story.wait(3)
    assert story.causes == ["vip-chosen-as-node-address"]


def filtered(*sets):
    lines = [f"-A KUBE-IPVS-FILTER -m set --match-set {name} dst -j RETURN" for name in sets]
    lines.append("-A KUBE-IPVS-FILTER -m set --match-set KUBE-IPVS-IPS dst -j REJECT")
    chain = XtChain("KUBE-IPVS-FILTER", lines=lines)
    tables = XtTables(False, "nft", "", {"filter": {chain.name: chain}})
    return replace(node_state(mode="ipvs"), xtables=(tables,))


def test_the_filter_without_an_exception_that_a_service_needs():
    known = cluster(
        service(load_balancer_ips=(parse(BALANCER),), health_check_node_port=32000),
        endpoints=[HERE],
    )
    story = Story(known, filtered("KUBE-EXTERNAL-IP-LOCAL"))
    assert story.causes == ["ipvs-filter-rejects-legit"]
    assert "KUBE-HEALTH-CHECK-NODE-PORT dst -j RETURN" in words(story.only)
    both = filtered("KUBE-EXTERNAL-IP-LOCAL", "KUBE-HEALTH-CHECK-NODE-PORT")
    assert Story(known, both).causes == []
    assert Story(cluster(service(), endpoints=[HERE]), filtered()).causes == []


def test_a_health_check_that_the_filter_refuses_is_counted_there_and_nowhere_else():
    known = cluster(
        service(load_balancer_ips=(parse(BALANCER),), health_check_node_port=32000),
        endpoints=[HERE],
    )
    story = Story(known, filtered("KUBE-EXTERNAL-IP-LOCAL"))
    ends = f"{CLIENT}:40000", f"{BALANCER}:32000"
    story.tell(record(Hook.ICMP_SENT, 1, *ends, detail=3 << 8 | 3, tcp_flags=2))
    assert (story.causes, story.only.count) == (["ipvs-filter-rejects-legit"], 1)
    assert ends[0] in words(story.only)


def cut_off(story, number, client=CLIENT_POD):
    ends = f"{client}:{40000 + number}", f"{BALANCER}:80"
    backend = f"{POD_HERE}:8080"
    story.tell(
        translated(number, *ends, backend),
        *handshake(number, *ends),
        packet(number + 0.1, backend, ends[0], "RA", seq=9),
    )


def test_clients_inside_that_are_all_reset_never_met_the_load_balancer():
    story = Story(
        cluster(service(load_balancer_ips=(parse(BALANCER),)), endpoints=[HERE]), node_state()
    )
    for number in range(3):
        assert story.causes == []
        cut_off(story, number)
    assert (story.only.cause, story.only.severity) == ("lb-ip-short-circuit", Severity.INFO)


def test_clients_outside_say_nothing_of_it():
    story = Story(
        cluster(service(load_balancer_ips=(parse(BALANCER),)), endpoints=[HERE]), node_state()
    )
    for number in range(4):
        cut_off(story, number, CLIENT)
    assert story.causes == []
