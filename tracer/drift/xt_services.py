"""What kube-proxy's iptables rules serve: from KUBE-SERVICES and KUBE-NODEPORTS to endpoints.

Chains are followed as kube-proxy writes them; a rule for some sources only (pods, the node
itself) is passed over, so that what is found is what everybody else gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tracer.drift.served import DROP, REJECT, Place, Rules, Served, unevenness
from tracer.node.xtables import XtChain, XtTables

DISPATCH = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-XLB-")
ENDPOINT = "KUBE-SEP-"
GLUE = (
    ("PREROUTING", "KUBE-SERVICES"),
    ("OUTPUT", "KUBE-SERVICES"),
    ("POSTROUTING", "KUBE-POSTROUTING"),
)
"""Jumps of the nat table without which kube-proxy's chains meet no packet."""
FILTER_CHAINS = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL")
"""Those that refuse and accept for Services."""
_COMMENT = re.compile(r'-m comment|--comment (?:"(?:[^"\\]|\\.)*"|\S+)')
_DESTINATION = re.compile(r"(?<!!) -d ([0-9A-Fa-f.:]+)(?:/32|/128)?(?= )")
_PROTOCOL = re.compile(r" -p (tcp|udp|sctp)(?= )")
_PORT = re.compile(r" --dport ([0-9]{1,5})(?= |$)")
_TARGET = re.compile(r" -[jg] (\S+)")
_CHANCE = re.compile(r"--probability ([01](?:\.[0-9]+)?)(?= )")
_TO = re.compile(r" --to-destination (\S+)")
_SOME_SOURCES = re.compile(r" -s | --src-type ")
_DEPTH = 4
"""KUBE-FW- to KUBE-EXT- to KUBE-SVL- is the longest way kube-proxy makes."""
Chains = Mapping[str, XtChain]


def served(tables: XtTables) -> Rules:
    """All places in one variant and family; no places where kube-proxy has no chains there."""
    nat, filters = tables.tables.get("nat", {}), tables.tables.get("filter", {})
    reading = _Reading(nat)
    places: dict[Place, Served] = {}
    for name in ("KUBE-SERVICES", "KUBE-NODEPORTS"):
        for place, target in _rules_of(nat.get(name), node_ports=name == "KUBE-NODEPORTS"):
            if target.startswith(DISPATCH) and place not in places:
                places[place] = reading.served(target)
    for name in ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"):
        for place, target in _rules_of(filters.get(name), node_ports=True):
            if target in (REJECT, DROP):
                known = places.get(place, Served(by=f"filter {name}"))
                places[place] = Served(known.backends, target, known.uneven, known.by)
    return Rules("iptables", tables.ipv6, places, tuple(_missing(nat)), tuple(_unmet(filters)))


def size(tables: XtTables) -> int:
    """Rules in KUBE-SERVICES: which of two variants is the one in use."""
    chain = tables.tables.get("nat", {}).get("KUBE-SERVICES")
    return len(chain.lines) if chain else 0


def _missing(nat: Chains) -> Iterator[str]:
    """Jumps that are not there, or the chain itself."""
    for base, chain in GLUE:
        if chain not in nat or not nat[chain].lines:
            yield f"chain {chain} of the nat table is empty or gone"
        elif base in nat and not any(_target_of(line) == chain for line in nat[base].lines):
            yield f"no rule of {base} jumps to {chain}"


def _unmet(filters: Chains) -> Iterator[str]:
    """kube-proxy's chains of the filter table that have rules and no jump to them."""
    names = [name for name in FILTER_CHAINS if name in filters and filters[name].lines]
    if names:
        targets = {_target_of(line) for chain in filters.values() for line in chain.lines}
        yield from (f"chain {name} of the filter table" for name in names if name not in targets)


def _target_of(line: str) -> str:
    found = _TARGET.search(_COMMENT.sub("", line))
    return found[1] if found else ""


def _rules_of(chain: XtChain | None, *, node_ports: bool) -> Iterator[tuple[Place, str]]:
    """(place, target) of every rule for one protocol and port."""
    for line in chain.lines if chain else ():
        bare = _COMMENT.sub("", line)
        protocol, port, target = _PROTOCOL.search(bare), _PORT.search(bare), _TARGET.search(bare)
        if not (protocol and port and target):
            continue
        to = _DESTINATION.search(bare)
        if to or (node_ports and " -d " not in bare):
            yield (protocol[1], to[1] if to else "", int(port[1])), target[1]


@dataclass
class _Reading:
    """Endpoints behind chains, each followed once."""

    nat: Chains
    _known: dict[str, Served] = field(default_factory=dict)

    def served(self, name: str, depth: int = 0) -> Served:
        """What new connections into a chain are translated to."""
        found = self._known.get(name)
        if found is None:
            chain = self.nat.get(name)
            lines = chain.lines if chain else []
            if name.startswith(("KUBE-SVC-", "KUBE-SVL-", "KUBE-XLB-")):
                found = self._spread(name, lines, depth)
            else:
                found = self._first(name, lines, depth)
            self._known[name] = found
        return found

    def _first(self, name: str, lines: list[str], depth: int) -> Served:
        """KUBE-EXT- and KUBE-FW-: the first chain of endpoints for sources in general."""
        by_source = name.startswith("KUBE-FW-")
        for line in lines:
            target = line.rpartition(" -j ")[2].strip()
            general = by_source or not _SOME_SOURCES.search(_COMMENT.sub("", line))
            if target.startswith(DISPATCH) and general and depth < _DEPTH:
                return self.served(target, depth + 1)
        return Served(by=name)

    def _spread(self, name: str, lines: list[str], depth: int) -> Served:
        """The endpoints with their shares; affinity rules repeat them."""
        shares: dict[str, float] = {}
        left = 1.0
        for line in lines:
            target = line.rpartition(" -j ")[2].strip()
            if not target.startswith(ENDPOINT) or "--rcheck" in line:
                continue
            chance = _CHANCE.search(line)
            share = left * float(chance[1]) if chance else left
            left -= share
            to = self._endpoint(target)
            shares[to] = shares.get(to, 0.0) + share
        return Served(frozenset(shares), uneven=unevenness(shares), by=name)

    def _endpoint(self, name: str) -> str:
        """Where a KUBE-SEP- chain translates to; the chain's own name if nowhere."""
        chain = self.nat.get(name)
        for line in reversed(chain.lines) if chain else ():
            if found := _TO.search(line):
                return found[1]
        return f"nowhere ({name})"
