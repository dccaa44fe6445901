"""What differs between the rules, sets and routes of two states of a node, in sentences.

kube-proxy rewrites rules by the thousand: changes are told by chain, and only the first of many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tracer import address
from tracer.node.model import NodeState
from tracer.node.routing import Route
from tracer.node.xtables import XtChain, XtTables
from tracer.plain import harmless

MOST = 5
"""Names in one sentence, and single changes told of one kind."""


def rule_changes(before: NodeState, after: NodeState) -> Iterator[str]:
    """Tables, sets and routes that were read both times and differ."""
    both = before.known & after.known
    if "xtables" in both and before.xtables is not after.xtables:
        yield from _xtables(before.xtables, after.xtables)
    if "nft" in both and before.nft is not after.nft:
        yield from _nft(before, after)
    if "address_sets" in both and before.address_sets is not after.address_sets:
        yield from _sets(before, after)
    if "routes" in both and before.routes is not after.routes:
        yield from _several("route", map(_route, before.routes), map(_route, after.routes))


def _xtables(before: tuple[XtTables, ...], after: tuple[XtTables, ...]) -> Iterator[str]:
    old, new = _chains(before), _chains(after)
    for table in sorted(old.keys() | new.keys()):
        chains = old.get(table, {}), new.get(table, {})
        yield from _policies(table, *chains)
        changed = _changed(
            {name: chain.lines for name, chain in chains[0].items()},
            {name: chain.lines for name, chain in chains[1].items()},
        )
        if changed:
            yield harmless(f"rules of {table} changed in {_few(changed)}")


def _chains(states: tuple[XtTables, ...]) -> dict[str, Mapping[str, XtChain]]:
    """Chains by a table's whole name."""
    found = {}
    for tables in states:
        tool = "ip6tables" if tables.ipv6 else "iptables"
        variant = f"-{tables.variant}" if tables.variant else ""
        for name, chains in tables.tables.items():
            found[f"{tool}{variant} {name}"] = chains
    return found


def _policies(table: str, old: Mapping[str, XtChain], new: Mapping[str, XtChain]) -> Iterator[str]:
    for name in sorted(old.keys() & new.keys()):
        if old[name].policy != new[name].policy:
            yield harmless(f"policy of {table} {name}: {old[name].policy} -> {new[name].policy}")


def _nft(before: NodeState, after: NodeState) -> Iterator[str]:
    old, new = before.nft.tables, after.nft.tables
    for family, name in sorted(old.keys() | new.keys()):
        table = f"nft table {family} {name}"
        if (family, name) not in new:
            yield harmless(f"{table} removed")
        elif (family, name) not in old:
            yield harmless(f"{table} added")
        else:
            first, second = old[family, name], new[family, name]
            changed = _changed(
                {chain: found.rules for chain, found in first.chains.items()},
                {chain: found.rules for chain, found in second.chains.items()},
            )
            changed += _changed(
                {one: (found.exact, found.ranges) for one, found in first.sets.items()},
                {one: (found.exact, found.ranges) for one, found in second.sets.items()},
            )
            if changed:
                yield harmless(f"{table} changed in {_few(changed)}")


def _sets(before: NodeState, after: NodeState) -> Iterator[str]:
    old = {found.name: found.plain for found in before.address_sets}
    new = {found.name: found.plain for found in after.address_sets}
    for name in _changed(old, new):
        yield from _several(
            f"member of set {name}", old.get(name, frozenset()), new.get(name, frozenset())
        )


def _several(kind: str, before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    """``added`` and ``removed``, one by one while they are few."""
    old, new = frozenset(before), frozenset(after)
    for word, found in (("added", new - old), ("removed", old - new)):
        if len(found) > MOST:
            yield harmless(f"{len(found)} times {kind} {word}")
        else:
            yield from (harmless(f"{kind} {word}: {text}") for text in sorted(found))


def _changed(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Names of what came, went or differs."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _few(names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def _route(route: Route) -> str:
    ip = address.text(route.network)
    bits = route.prefix if route.ipv6 else max(0, route.prefix - 96)
    hops = ", ".join(
        " ".join(
            word
            for word in (f"via {address.text(hop.gateway)}" if hop.gateway else "", hop.device)
            if word
        )
        for hop in route.hops
    )
    where = f" {hops}" if hops else ""
    return f"{route.kind} {ip}/{bits}{where} (table {route.table})"
