"""What the kernel does beside its rules, as random nodes have shown it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tracer.path.node import interface, node, packet, route, told, walked
from tracer import address
from tracer.node.model import InterfaceAddress, NodeState
from tracer.node.routing import NextHop, PolicyRule
from tracer.path.ground import Ground

CLIENT, POD, NODE = "172.30.0.9", "10.244.1.10", "172.30.0.2"
CLIENT6, POD6, NODE6 = "fd00:30::9", "fd00:244:1::10", "fd00:30::2"
FILTER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
{rules}
COMMIT
"""


def state(rules: str = "", *, extra=(), **sysctls: str) -> NodeState:
    addresses = interface("eth0", f"{NODE}/24") + interface("cni0", "10.244.1.1/24")
    routes = [route("10.244.1.0/24", "cni0"), route("172.30.0.0/24", "eth0"), *extra]
    named = {f"net.ipv4.{name.replace('__', '.')}": value for name, value in sysctls.items()}
    return node(addresses, routes, xtables=FILTER.format(rules=rules), sysctls=named)


def state6(rules: str = "", *, extra=(), nat: str = "", **sysctls: str) -> NodeState:
    addresses = interface("lo", "::1/128") + interface("eth0", f"{NODE6}/64")
    addresses += interface("cni0", "fd00:244:1::1/64")
    routes = [route("fd00:244:1::/64", "cni0"), route("fd00:30::/64", "eth0"), *extra]
    text = FILTER.format(rules=rules) + (f"*nat\n:PREROUTING ACCEPT [0:0]\n{nat}\nCOMMIT\n")
    return node(addresses, routes, xtables=text, ipv6=True, sysctls=sysctls)


def to_pod(found: NodeState, incoming: str = "eth0", client: str = CLIENT):
    return walked(found, packet(client, f"{POD}:80", incoming))


def to_pod6(found: NodeState, incoming: str = "eth0", client: str = CLIENT6):
    return walked(found, packet(client, f"[{POD6}]:80", incoming))


def ruled(found: NodeState, *rules: PolicyRule) -> NodeState:
    ipv6 = rules[0].ipv6
    usual = [PolicyRule(n, ipv6, t) for n, t in ((0, "local"), (32766, "main"))]
    return replace(found, policy_rules=(*usual, *rules))


def test_forwarding_is_switched_by_interface():
    assert told(to_pod(state(conf__eth0__forwarding="0"))) == "dropped: ip-forward-off"
    assert to_pod(state(conf__cni0__forwarding="0")).verdict == "delivered"


def test_the_way_back_is_looked_up_from_beyond():
    """A rule about what comes in by the pods' bridge decides about the answers of pods."""
    elsewhere = replace(route("172.30.0.0/24", "cni0"), table="9")
    found = state(extra=[elsewhere], conf__all__rp_filter="1")
    assert told(to_pod(ruled(found, PolicyRule(9, False, "9", incoming="cni0")))) == (
        "dropped: rp-filter-drop"
    )
    assert to_pod(ruled(found, PolicyRule(9, False, "9", incoming="lo"))).verdict == "delivered"


@pytest.mark.parametrize(("valid", "verdict"), [("0", "delivered"), ("1", "dropped")])
def test_a_mark_counts_on_the_way_back_where_it_is_told_to(valid, verdict):
    elsewhere = replace(route("172.30.0.0/24", "cni0"), table="9")
    found = state(extra=[elsewhere], conf__all__rp_filter="1", conf__eth0__src_valid_mark=valid)
    marked = PolicyRule(9, False, "9", mark=7, mask=7, incoming="cni0")
    sent = replace(packet(CLIENT, f"{POD}:80", "eth0"), mark=7)
    assert walked(ruled(found, marked), sent).verdict == verdict


@pytest.mark.parametrize(("accept", "verdict"), [("0", "dropped"), ("1", "delivered")])
def test_own_addresses_come_in_only_where_that_is_allowed(accept, verdict):
    found = state(conf__eth0__accept_local=accept)
    assert to_pod(found, client=NODE).verdict == verdict


def test_a_refusal_without_a_way_back_is_a_silent_drop():
    refusing = "-A FORWARD -j REJECT"
    assert to_pod(state(refusing)).verdict == "rejected"
    stranger = to_pod(state(refusing), client="203.0.113.9")
    assert stranger.verdict == "dropped"
    assert "the way back" in stranger.steps[-1].rule


def test_a_reset_is_routed_as_if_its_sender_were_here():
    blocked = PolicyRule(9, False, action="unreachable", source="10.244.1.10")
    for kind, verdict in (("tcp-reset", "dropped"), ("icmp-port-unreachable", "rejected")):
        refusing = state(f"-A FORWARD -p tcp -j REJECT --reject-with {kind}")
        assert to_pod(ruled(refusing, blocked)).verdict == verdict


@pytest.mark.parametrize(
    ("action", "how"),
    [("unreachable", "icmp-net-unreachable"), ("prohibit", "icmp-admin-prohibited")],
)
def test_what_a_policy_rule_tells_the_sender(action, how):
    path = to_pod(ruled(state(), PolicyRule(9, False, action=action, destination=POD)))
    assert (path.verdict, path.how) == ("rejected", how)


def test_only_the_local_table_says_what_is_local_to_ipv4():
    tproxy = replace(route("10.96.0.0/16", "lo", kind="local"), table="9")
    found = ruled(
        state("-A INPUT -m addrtype --dst-type LOCAL -j DROP", extra=[tproxy]),
        PolicyRule(9, False, "9"),
    )
    sent = packet(CLIENT, "10.96.0.10:80", "eth0")
    assert walked(found, sent).verdict == "local"
    refused = replace(found, xtables=state("-A INPUT -j REJECT").xtables)
    assert walked(refused, sent).verdict == "dropped"  # no ICMP error from what is no address


@pytest.mark.parametrize("client", [CLIENT6, "fd00:30::2"])
def test_every_unicast_address_is_unicast_to_ip6tables(client):
    rules = "-A FORWARD -m addrtype --src-type UNICAST -j DROP"
    assert to_pod6(state6(rules), client=client).verdict == "dropped"


@pytest.mark.parametrize(("kinds", "verdict"), [("LOCAL", "dropped"), ("UNICAST", "dropped"),
                                                ("MULTICAST", "local")])  # fmt: skip
def test_local_addresses_of_ip6tables(kinds, verdict):
    found = state6(f"-A INPUT -m addrtype --dst-type {kinds} -j DROP")
    assert walked(found, packet(CLIENT6, f"[{NODE6}]:80", "eth0")).verdict == verdict


def test_ipv6_drops_loopback_addresses_on_the_wire_before_any_rule():
    path = to_pod6(state6(), client="::1")
    assert path.verdict == "dropped"
    assert [step.hook for step in path.steps] == ["arrival"]


def test_ipv6_finds_no_way_to_loopback_for_what_came_in():
    nat = "-A PREROUTING -p tcp -j DNAT --to-destination [::1]:80"
    path = to_pod6(state6(nat=nat))
    assert (path.verdict, path.how) == ("rejected", "icmp6-no-route")


def test_ipv6_refuses_by_route_even_where_it_does_not_forward():
    refusing = [route(POD6, "", kind="prohibit")]
    off = {"net.ipv6.conf.all.forwarding": "0"}
    assert to_pod6(node_with(refusing, off)).verdict == "rejected"
    assert told(to_pod6(node_with([], off))) == "dropped: ip-forward-off"


def node_with(extra, sysctls):
    made = state6(extra=extra)
    return replace(made, sysctls={**made.sysctls, **sysctls})


@pytest.mark.parametrize(
    ("destination", "device", "chosen"),
    [
        ("2001:db8::9", "eth0", "2001:db8:1::2"),
        ("fd00:30::9", "eth0", "fd00:30::2"),
        ("fd00:244:1::1", "lo", "fd00:244:1::1"),
        ("2001:db8::9", "cni0", "fd00:244:1::1"),
        ("fe80::9", "eth0", "fe80::2"),
        ("::1", "lo", "::1"),
    ],
)
def test_a_source_for_ipv6(destination, device, chosen):
    made = state6()
    more = [InterfaceAddress("eth0", address.parse("2001:db8:1::2"), 64)]
    more.append(InterfaceAddress("eth0", address.parse("fe80::2"), 64, "link"))
    ground = Ground(replace(made, addresses=(*made.addresses, *more)), ipv6=True)
    found = ground.masquerade_source(device, address.parse(destination))
    assert address.text(found) == chosen


def test_redirect_takes_the_first_address_of_the_interface():
    ground = Ground(state(), ipv6=False)
    assert ground.redirect_address("cni0") == address.parse("10.244.1.1")
    assert ground.redirect_address("none") is None


def two_tables(first: str, second: str) -> NodeState:
    chain = "type filter hook forward priority 0;"
    tables = [f"table ip {n} {{ chain c {{ {chain} {r} }} }}\n" for n, r in (("a", first), ("b", second))]  # fmt: skip
    addresses = interface("eth0", f"{NODE}/24")
    routes = [route("10.244.1.0/24", "cni0"), route("172.30.0.0/24", "eth0")]
    return node(addresses, routes, nft="".join(tables))


def test_equal_priorities_matter_only_where_the_order_decides():
    same = to_pod(two_tables("ip daddr 10.244.1.10 drop", "tcp dport 80 drop"))
    assert same.verdict == "dropped"
    marking = to_pod(two_tables("meta mark set 0x1", "meta mark 0x1 drop"))
    assert marking.verdict == "unknown"
    assert marking.unknown == ("which of several tables with the same priority comes first",)


def test_a_local_way_of_lo_is_no_way_for_what_came_in_by_a_link():
    found = state6(extra=[replace(route("::1/128", "lo", kind="local"), hops=(NextHop("lo"),))])
    assert Ground(found, ipv6=True).kind_of(address.parse("::1")) == "local"


@pytest.mark.parametrize("localnet", ["0", "1"])
def test_ipvs_lets_no_loopback_address_out(localnet):
    addresses = interface("cni0", "10.244.1.1/24") + interface("kube-ipvs0", "10.96.0.10/32")
    servers = f"-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r {POD}:80 -m -w 1\n"
    found = node(
        addresses,
        [route("10.244.1.0/24", "cni0")],
        servers=servers,
        sysctls={"net.ipv4.conf.all.route_localnet": localnet},
    )
    assert walked(found, packet("10.96.0.10", "10.96.0.10:80")).verdict == "delivered"
    assert told(walked(found, packet("127.0.0.1", "10.96.0.10:80"))) == (
        "dropped: nodeport-localhost"
    )
