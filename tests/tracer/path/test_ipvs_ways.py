"""Ways of packets that IPVS sends on, as random nodes have shown them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tracer.path.node import interface, node, packet, route, told, walked
from tracer import address
from tracer.node.model import MarkServer, NodeState
from tracer.node.routing import PolicyRule

CLIENT, POD, NODE, VIP = "172.30.0.9", "10.244.1.10", "172.30.0.2", "10.96.0.10"
CLIENT6, POD6, VIP6 = "fd00:30::9", "fd00:244:1::10", "fd00:10:96::10"
NAT = """*raw
:PREROUTING ACCEPT [0:0]
{raw}
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
{mangle}
COMMIT
*nat
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
{nat}
COMMIT
"""
MARKING = f"-A PREROUTING -d {VIP}/32 -j MARK --set-xmark 0x1/0x1"
UNTRACKED = f"-A PREROUTING -d {VIP}/32 -j NOTRACK"
REFUSING = PolicyRule(100, False, action="prohibit", mark=1, mask=1)


def state(*rules: PolicyRule, raw="", mangle="", nat="", scheduler="rr", more="") -> NodeState:
    addresses = interface("eth0", f"{NODE}/24") + interface("cni0", "10.244.1.1/24")
    addresses += interface("kube-ipvs0", f"{VIP}/32")
    servers = f"-A -t {VIP}:80 -s {scheduler}\n-a -t {VIP}:80 -r {POD}:80 -m -w 1\n{more}"
    found = node(
        addresses,
        [route("10.244.1.0/24", "cni0"), route("172.30.0.0/24", "eth0")],
        servers=servers,
        xtables=NAT.format(raw=raw, mangle=mangle, nat=nat),
    )
    usual = [PolicyRule(n, False, t) for n, t in ((0, "local"), (32766, "main"))]
    return replace(found, policy_rules=(*usual, *rules))


def asked(found: NodeState):
    return walked(found, packet(CLIENT, f"{VIP}:80", "eth0"))


def test_the_mark_does_not_route_to_a_real_server_without_conntrack():
    assert told(asked(state(REFUSING, raw=UNTRACKED, mangle=MARKING))) == f"delivered {POD}:80"


def test_nat_has_a_tracked_packet_routed_again_by_its_mark_and_tells_nobody_of_a_refusal():
    path = asked(state(REFUSING, mangle=MARKING))
    assert path.verdict == "dropped"
    assert [step.hook for step in path.steps if "sent by cni0" in step.effect] == ["routing"]


def test_nat_says_nothing_where_the_second_way_is_the_first():
    path = asked(state())
    assert told(path) == f"delivered {POD}:80"
    assert len([step for step in path.steps if "sent by" in step.effect]) == 1


@pytest.mark.parametrize("kind", ["prohibit", "blackhole", "unreachable"])
def test_a_real_server_without_a_way_is_an_unreachable_host_whatever_the_route_says(kind):
    refusing = PolicyRule(100, False, action=kind, destination=POD)
    path = asked(state(refusing))
    assert (path.verdict, path.how) == ("rejected", "icmp-host-unreachable")


def test_the_same_in_ipv6():
    addresses = interface("eth0", "fd00:30::2/64") + interface("kube-ipvs0", f"{VIP6}/128")
    servers = f"-A -t [{VIP6}]:80 -s rr\n-a -t [{VIP6}]:80 -r [{POD6}]:80 -m -w 1\n"
    found = node(addresses, [route("fd00:30::/64", "eth0")], servers=servers, ipv6=True)
    path = walked(found, packet(CLIENT6, f"[{VIP6}]:80", "eth0"))
    assert (path.verdict, path.how) == ("rejected", "icmp6-addr-unreachable")


@pytest.mark.parametrize(("scheduler", "refuses"), [("sh", True), ("dh", True), ("rr", False)])
def test_hashing_may_choose_a_backend_of_weight_zero(scheduler, refuses):
    leaving = f"-a -t {VIP}:80 -r 10.244.1.11:80 -m -w 0\n"
    path = asked(state(scheduler=scheduler, more=leaving))
    assert told(path).startswith("unknown" if refuses else f"delivered {POD}:80")
    assert path.unknown == (("it depends on which backend is chosen",) if refuses else ())


def test_a_connection_masqueraded_for_lo_is_forgotten_when_ipvs_sends_it_elsewhere():
    looped = state(
        mangle="-A PREROUTING -i lo -j MARK --set-xmark 0x7/0xffffffff",
        nat="-A POSTROUTING -j MASQUERADE",
    )
    backend = (address.parse(POD), 0, 1)
    marked = replace(looped, mark_servers=(MarkServer(7, False, "rr", (backend,), ("masq",)),))
    path = walked(marked, packet(NODE, f"{NODE}:8080"))
    assert path.verdict == "dropped"
    assert path.steps[-1].effect == "connection forgotten, packet dropped"


def test_a_refusal_by_ipvs_is_the_virtual_servers_word():
    addresses = interface("cni0", "fd00:244:1::1/64") + interface("kube-ipvs0", f"{VIP6}/128")
    servers = f"-A -t [{VIP6}]:80 -s rr\n-a -t [{VIP6}]:80 -r [{POD6}]:80 -m -w 1\n"
    found = node(addresses, [route("fd00:244:1::/64", "cni0")], servers=servers, ipv6=True)
    usual = [PolicyRule(n, True, t) for n, t in ((0, "local"), (32766, "main"))]
    # The VIP has no way to the pod, which the node itself would have.
    astray = PolicyRule(9, True, action="prohibit", source="fd00:244:1::/64", inverted=True)
    path = walked(
        replace(found, policy_rules=(*usual, astray)), packet(POD6, f"[{VIP6}]:80", "cni0")
    )
    assert path.verdict == "dropped"
    assert path.steps[-1].effect == "the answer is not sent"
