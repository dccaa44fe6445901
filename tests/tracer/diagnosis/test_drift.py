"""Rules that do not fit the cluster, the node or each other."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracer.diagnosis.story import (
    HERE,
    NODES,
    VIP,
    Story,
    cluster,
    node_state,
    service,
    words,
)
from tracer.address import parse
from tracer.diagnosis.cidr_overlap import first_inside
from tracer.node.model import InterfaceAddress, VirtualServer
from tracer.node.nft_ruleset import NftChain, NftRule, NftRuleset, NftSet, NftTable
from tracer.node.proxy_mode import TOLD_MODE
from tracer.node.xtables import XtChain, XtTables

KNOWN = cluster(service(), endpoints=[HERE])
DISPATCH = XtChain("KUBE-SVC-X", lines=["-A KUBE-SVC-X -j KUBE-SEP-X"])


def tables(variant, *chains, table="nat"):
    return XtTables(False, variant, "", {table: {chain.name: chain for chain in chains}})


def with_rules(state, *found):
    return replace(state, xtables=found, known=state.known | {"xtables"})


def test_rules_in_both_variants_of_iptables():
    both = with_rules(node_state(), tables("nft", DISPATCH), tables("legacy", DISPATCH))
    assert Story(KNOWN, both).causes == ["iptables-backend-mix"]


def test_canaries_and_other_chains_may_be_in_both():
    canary = XtChain("KUBE-KUBELET-CANARY")
    other = XtChain("DOCKER", lines=["-A DOCKER -j RETURN"])
    state = with_rules(node_state(), tables("nft", DISPATCH), tables("legacy", canary, other))
    assert Story(KNOWN, state).causes == []


def in_nft(**parts):
    state = node_state(mode="nftables")
    return replace(state, nft=NftRuleset("", parts["tables"]), known=state.known | {"nft"})


def test_rules_of_iptables_mode_beside_nftables_mode():
    entries = NftSet("service-ips", is_map=True)
    entries.exact["10.200.1.10", "tcp", "80"] = {"goto": "service-x"}
    left = NftChain("KUBE-SVC-X", rules=[NftRule([])])
    state = in_nft(
        tables={
            ("ip", "kube-proxy"): NftTable("ip", "kube-proxy", sets={"service-ips": entries}),
            ("ip", "nat"): NftTable("ip", "nat", chains={"KUBE-SVC-X": left}),
        }
    )
    story = Story(KNOWN, replace(state, known=state.known | {TOLD_MODE}))
    assert story.causes == ["stale-rules-mode-switch"]
    assert story.only.remedy[1].startswith("iptables-save | grep -v KUBE- | iptables-restore")
    unsaid = Story(KNOWN, state).only
    assert unsaid.summary == "rules of iptables and nftables mode are there at once"
    assert unsaid.remedy[2].startswith("If it is not iptables: iptables-save | grep -v KUBE-")
    assert unsaid.remedy[3].startswith("If it is not nftables: nft delete table")


def test_addresses_of_ipvs_mode_left_behind():
    server = VirtualServer(6, parse(VIP), 80, "rr")
    state = with_rules(node_state(VIP), tables("nft", DISPATCH))
    assert Story(KNOWN, replace(state, virtual_servers=(server,))).causes == [
        "stale-rules-mode-switch"
    ]


def test_one_mode_alone_is_as_it_should_be():
    assert Story(KNOWN, with_rules(node_state(), tables("nft", DISPATCH))).causes == []


def linked(network):
    state = node_state()
    ip, _, prefix = network.partition("/")
    return replace(state, addresses=(*state.addresses, InterfaceAddress("vpn0", parse(ip), int(prefix))))  # fmt: skip


def test_a_network_on_the_link_that_holds_cluster_ips():
    assert Story(KNOWN, linked("10.200.9.1/16")).causes == ["cidr-overlap"]
    assert Story(KNOWN, linked("10.201.9.1/16")).causes == []
    assert Story(KNOWN, linked("10.200.1.10/32")).causes == []


@pytest.mark.parametrize(
    ("cidr", "found"), [("10.200.0.0/16", True), ("172.18.0.0/16", True), ("10.10.1.0/24", False)]
)
def test_a_range_of_pods_that_holds_services_or_nodes(cidr, found):
    ranged = (replace(NODES[0], pod_cidrs=(cidr,)), *NODES[1:])
    story = Story(replace(KNOWN, nodes=ranged), node_state())
    assert story.causes == ["cidr-overlap"] * found


def test_the_nodes_own_range_on_its_bridge_is_as_it_should_be():
    ranged = (replace(NODES[0], pod_cidrs=("10.10.1.0/24",)), *NODES[1:])
    assert Story(replace(KNOWN, nodes=ranged), linked("10.10.1.1/24")).causes == []


NOTRACK = f"-A PREROUTING -d {VIP}/32 -p udp --dport 53 -j NOTRACK"


def test_a_cluster_ip_is_kept_from_conntrack_in_ipvs_mode():
    raw = tables("nft", XtChain("PREROUTING", "ACCEPT", [NOTRACK]), table="raw")
    story = Story(KNOWN, with_rules(node_state(VIP, mode="ipvs"), raw))
    assert story.causes == ["nodelocaldns-conflict"]
    assert f"iptables -t raw -D {NOTRACK.removeprefix('-A ')}" in words(story.only)
    assert Story(KNOWN, with_rules(node_state(), raw)).causes == []


def test_the_caches_interface_with_a_cluster_ip_in_ipvs_mode():
    state = node_state(VIP, mode="ipvs")
    there = InterfaceAddress("nodelocaldns", parse(VIP), 32)
    story = Story(KNOWN, replace(state, addresses=(*state.addresses, there)))
    assert story.causes == ["nodelocaldns-conflict"]
    assert f"ip addr del {VIP}/32 dev nodelocaldns" in words(story.only)


HOST_PORT = "-A PREROUTING -p tcp --dport 80 -m addrtype --dst-type LOCAL -j DNAT --to 10.1.1.1"
SERVICES = "-A PREROUTING -j KUBE-SERVICES"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([HOST_PORT, SERVICES], True),
        ([SERVICES, HOST_PORT], False),
        ([HOST_PORT.replace("dport 80", "dport 81"), SERVICES], False),
        ([HOST_PORT.replace("--dst-type", "! --dst-type"), SERVICES], False),
    ],
)
def test_a_host_ports_rule_before_kube_proxys(lines, found):
    nat = tables("nft", XtChain("PREROUTING", "ACCEPT", lines))
    story = Story(KNOWN, with_rules(node_state(VIP, mode="ipvs"), nat))
    assert story.causes == ["hostport-intercepts-service"] * found
    if found:
        rule = HOST_PORT.removeprefix("-A ")
        moved = f"iptables -t nat -D {rule}; iptables -t nat -A {rule}"
        assert moved in words(story.only)


@given(
    st.lists(st.ip_addresses(v=4), max_size=20),
    st.ip_addresses(v=4),
    st.integers(0, 32),
)
def test_the_first_address_in_a_range(ips, base, bits):
    network = ip_network(f"{base}/{bits}", strict=False)
    known = sorted(parse(str(ip)) for ip in ips)
    inside = [parse(str(ip)) for ip in sorted(ips) if ip in network]
    assert first_inside(known, str(network)) == (inside[0] if inside else None)


def test_families_do_not_meet_and_what_is_no_range_holds_nothing():
    known = sorted(map(parse, ("10.0.0.1", "fd00::1")))
    assert first_inside(known, "::/0") == parse("fd00::1")
    assert first_inside(known, "fd00::/64") == parse("fd00::1")
    assert first_inside(known, "0.0.0.0/0") == parse("10.0.0.1")
    assert first_inside([parse("fd00::1")], "0.0.0.0/0") is None
    assert first_inside(known, "10.0.0/8") is None
