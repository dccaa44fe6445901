"""Everything in which a node's rules differ from its cluster, in the mode that it runs."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.cluster.model import Cluster
from tracer.drift import ipvs_services, nft_services, xt_services
from tracer.drift.bindings import set_differences, unbound
from tracer.drift.difference import Difference, Turn
from tracer.drift.places import Demand, differences
from tracer.drift.served import Rules
from tracer.drift.wanted import wanted
from tracer.node.model import NodeState
from tracer.node.proxy_mode import NFT_TABLE

_PARTS = {"iptables": ("xtables.ip", "xtables.ip6"), "nftables": ("nft", "nft")}


def compared(node: NodeState, cluster: Cluster, node_name: str) -> tuple[Difference, ...]:
    """All differences; none where rules, Services or endpoints were not read.

    ``node_name`` is this node's in the cluster; without it nothing is said of locality, and a
    machine without rules is taken for one that is no node.
    """
    if not {"services", "endpoints"} <= cluster.known or not cluster.services:
        return ()
    return tuple(_compared(node, cluster, node_name))


def _compared(node: NodeState, cluster: Cluster, node_name: str) -> Iterator[Difference]:
    for ipv6 in (False, True):
        demand: Demand = wanted(cluster, node_name, ipv6=ipv6)
        if not demand and not ipv6:
            continue
        if node.proxy_mode == "ipvs":
            yield from _ipvs(node, cluster, demand, node_name, ipv6=ipv6)
        elif node.proxy_mode in _PARTS and _PARTS[node.proxy_mode][ipv6] in node.known:
            rules = _rules(node, ipv6=ipv6)
            if rules is not None:
                yield from _unmet(rules)
                yield from differences(rules, demand, node_known=bool(node_name))
            elif node_name and not ipv6:  # kube-proxy may well be there for one family only
                yield _flushed(node)


def _rules(node: NodeState, *, ipv6: bool) -> Rules | None:
    """What the mode's rules serve; None where they are not there at all, or empty."""
    if node.proxy_mode == "nftables":
        table = node.nft.tables.get(("ip6" if ipv6 else "ip", NFT_TABLE))
        found = nft_services.served(table) if table else None
    else:
        variants = [tables for tables in node.xtables if tables.ipv6 == ipv6]
        chosen = max(variants, key=xt_services.size, default=None)
        found = xt_services.served(chosen) if chosen and xt_services.size(chosen) else None
    return found if found and (found.places or not found.missing) else None


def _ipvs(
    node: NodeState, cluster: Cluster, demand: Demand, node_name: str, *, ipv6: bool
) -> Iterator[Difference]:
    if "virtual_servers" in node.known:
        node_ports = {port for _, ip, port in demand if not ip}
        rules = ipvs_services.served(node, node_ports, ipv6=ipv6)
        if not rules.places and demand:
            if node_name and not ipv6:
                yield _flushed(node)
            return
        yield from differences(rules, demand, node_known=bool(node_name))
    elif ipv6:
        return
    if "addresses" in node.known:
        yield from unbound(node, cluster, demand, ipv6=ipv6)
    yield from set_differences(node, cluster, demand, node_name, ipv6=ipv6)


def _unmet(rules: Rules) -> Iterator[Difference]:
    """Chains and jumps without which rules do nothing."""
    for what in rules.missing:
        told = "no packet meets kube-proxy's rules"
        yield Difference(Turn.UNREACHED, what, told, by=rules.engine)
    for what in rules.unmet:
        told = "it has rules, and no rule jumps to it"
        yield Difference(Turn.UNMET, what, told, by=rules.engine)


def _flushed(node: NodeState) -> Difference:
    told = {
        "ipvs": "IPVS has no virtual server",
        "nftables": f"there is no table {NFT_TABLE}, or it is empty",
    }.get(node.proxy_mode, "the nat table has no rules in KUBE-SERVICES")
    return Difference(Turn.FLUSHED, f"rules of {node.proxy_mode} mode", told, by=node.proxy_mode)
