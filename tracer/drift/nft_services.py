"""What kube-proxy's nftables table serves: from its verdict maps to endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tracer.drift.served import DROP, REJECT, Place, Rules, Served, unevenness
from tracer.node.nft_ruleset import Json, NftRule, NftTable

MAPS = ("service-ips", "service-nodeports")
REFUSALS = ("no-endpoint-services", "no-endpoint-nodeports")
_DEPTH = 4


def served(table: NftTable) -> Rules:
    """All places of kube-proxy's table of one family."""
    reading = _Reading(table)
    places: dict[Place, Served] = {}
    for name in MAPS:
        for place, verdict in _elements(table, name):
            chain = _target(verdict)
            if chain:
                places[place] = reading.served(chain)
    for name in REFUSALS:
        for place, verdict in _elements(table, name):
            known = places.get(place, Served(by=f"map {name}"))
            refused = DROP if _drops(verdict) else REJECT
            places[place] = Served(known.backends, refused, known.uneven, known.by)
    return Rules("nftables", table.family == "ip6", places, tuple(_missing(table)))


def _missing(table: NftTable) -> Iterator[str]:
    yield from (
        f"map {name} of table kube-proxy is gone" for name in MAPS if name not in table.sets
    )
    hooks = {chain.hook for chain in table.chains.values() if chain.kind == "nat"}
    for hook in ("prerouting", "output", "postrouting"):
        if hook not in hooks:
            yield f"table kube-proxy has no nat chain in {hook}"


def _elements(table: NftTable, name: str) -> Iterator[tuple[Place, Json]]:
    """(place, verdict) of a map; keys are (address, protocol, port) or (protocol, port)."""
    found = table.sets.get(name)
    for key, verdict in found.exact.items() if found else ():
        whole = ("", *key) if len(key) == 2 else key
        if len(whole) == 3 and whole[2].isascii() and whole[2].isdecimal():
            yield (whole[1], whole[0], int(whole[2])), verdict


def _target(verdict: Json) -> str:
    """The chain that a verdict leads to; empty for others."""
    if isinstance(verdict, Mapping):
        for word in ("goto", "jump"):
            inner = verdict.get(word)
            if isinstance(inner, Mapping):
                return str(inner.get("target", ""))
    return ""


def _drops(verdict: Json) -> bool:
    return isinstance(verdict, Mapping) and "drop" in verdict


@dataclass
class _Reading:
    """Endpoints behind chains, each followed once."""

    table: NftTable
    _known: dict[str, Served] = field(default_factory=dict)

    def served(self, name: str, depth: int = 0) -> Served:
        """What new connections into a chain are translated to, whatever their source."""
        if name not in self._known:
            self._known[name] = self._followed(name, depth)
        return self._known[name]

    def _followed(self, name: str, depth: int) -> Served:
        chain = self.table.chains.get(name)
        for rule in chain.rules if chain else ():
            if ends := list(_choices(rule)):
                counted = Counter(map(self._endpoint, ends))
                shares = {to: count / len(ends) for to, count in counted.items()}
                return Served(frozenset(shares), uneven=unevenness(shares), by=name)
            target = _target(rule.statements[-1]) if len(rule.statements) == 1 else ""
            if target.startswith(("service-", "local-")) and depth < _DEPTH:
                return self.served(target, depth + 1)
        return Served(by=name)

    def _endpoint(self, name: str) -> str:
        """Where an endpoint- chain translates to; the chain's own name if nowhere."""
        chain = self.table.chains.get(name)
        for rule in chain.rules if chain else ():
            for statement in rule.statements:
                to = statement.get("dnat") if isinstance(statement, Mapping) else None
                if isinstance(to, Mapping):
                    ip = str(to.get("addr"))
                    return f"[{ip}]:{to.get('port')}" if ":" in ip else f"{ip}:{to.get('port')}"
        return f"nowhere ({name})"


def _choices(rule: NftRule) -> Iterator[str]:
    """Chains that a random number chooses among."""
    for statement in rule.statements:
        found = statement.get("vmap") if isinstance(statement, Mapping) else None
        key = found.get("key") if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or not isinstance(key, Mapping) or "numgen" not in key:
            continue
        data = found.get("data")
        listed = data.get("set") if isinstance(data, Mapping) else None
        for pair in listed if isinstance(listed, Sequence) else ():
            if isinstance(pair, Sequence) and len(pair) == 2:
                yield _target(pair[1])
