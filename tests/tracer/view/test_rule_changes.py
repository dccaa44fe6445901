"""Changes of rules, sets and routes as sentences."""

from __future__ import annotations

from dataclasses import replace

from tracer.address import parse
from tracer.node import ipset, iptables, nft_text
from tracer.node.lines import Unread
from tracer.node.model import NodeState
from tracer.node.routing import NextHop, Route
from tracer.view.changes import node_changes
from tracer.view.rule_changes import MOST

KNOWN = frozenset({"xtables", "nft", "address_sets", "routes"})
FILTER = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n"


def node(rules: str = FILTER, nft: str = "", sets: str = "", gateway: str = "") -> NodeState:
    unread = Unread("rules")
    hop = NextHop("eth0", parse(gateway) if gateway else b"")
    made = NodeState(
        xtables=iptables.parse(rules, unread, ipv6=False),
        nft=nft_text.parse(nft, unread),
        address_sets=ipset.parse(sets, unread),
        routes=(Route("main", "unicast", parse("0.0.0.0"), 96, False, hops=(hop,)),),
        known=KNOWN,
    )
    assert not unread.count
    return made


def told(before: NodeState, after: NodeState) -> list[str]:
    return list(node_changes(before, after))


def test_nothing_is_told_of_what_stays_or_was_not_read():
    assert told(node(), node()) == []
    assert told(NodeState(), node()) == []


def test_a_policy_and_a_rule():
    after = FILTER.replace("FORWARD ACCEPT", "FORWARD DROP") + "-A INPUT -p icmp -j DROP\n"
    assert told(node(), node(after)) == [
        "policy of iptables filter FORWARD: ACCEPT -> DROP",
        "rules of iptables filter changed in INPUT",
    ]


def test_many_chains_are_counted():
    chains = "".join(f":KUBE-SEP-{n} -\n-A KUBE-SEP-{n} -j RETURN\n" for n in range(9))
    (line,) = told(node(), node(FILTER + chains))
    assert line.endswith(f"and {9 - MOST} more")


def test_nftables_tables_chains_and_maps():
    table = "table ip t {{\n\tmap m {{\n\t\ttype ipv4_addr : verdict\n\t\t{}\n\t}}\n}}\n"
    empty, filled = table.format(""), table.format("elements = { 10.0.0.1 : drop }")
    assert told(node(), node(nft=empty)) == ["nft table ip t added"]
    assert told(node(nft=empty), node(nft=filled)) == ["nft table ip t changed in m"]
    assert told(node(nft=empty), node()) == ["nft table ip t removed"]


def test_members_one_by_one_while_they_are_few():
    create = "create S hash:ip family inet\n"
    few = create + "add S 10.0.0.1\n"
    many = create + "".join(f"add S 10.0.0.{n}\n" for n in range(1, 20))
    assert told(node(sets=create), node(sets=few)) == ["member of set S added: 10.0.0.1"]
    assert told(node(sets=create), node(sets=many)) == ["19 times member of set S added"]


def test_a_route_with_its_way():
    first, second = node(gateway="192.0.2.1"), node(gateway="192.0.2.254")
    assert told(first, second) == [
        "route added: unicast 0.0.0.0/0 via 192.0.2.254 eth0 (table main)",
        "route removed: unicast 0.0.0.0/0 via 192.0.2.1 eth0 (table main)",
    ]
    assert told(first, replace(first, routes=())) == [
        "route removed: unicast 0.0.0.0/0 via 192.0.2.1 eth0 (table main)"
    ]
