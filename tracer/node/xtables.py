"""Rules of iptables and ip6tables as they were listed: chains of lines, understood when walked.

A large node has most of a million lines, of which one packet meets some dozens: so a chain keeps
its text, and ``tracer.path`` reads a rule when a packet comes to it.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

LEGACY, NFT = "legacy", "nft"
_HOST = re.compile(r"(?:\[\d+:\d+\] )?-A \S+ (?:(?:! )?-s \S+ )?-d (\S+)/(?:32|128) ")
"""A rule for one destination, as iptables-save writes it: addresses come first."""
INDEXED_FROM = 32
"""Chains with fewer rules are simply gone through."""


@dataclass(slots=True)
class XtChain:
    """One chain: not changed any more once its file is read."""

    name: str
    policy: str = ""
    """``ACCEPT`` or ``DROP`` for a base chain, else empty."""
    lines: list[str] = field(default_factory=list)
    """``-A CHAIN …`` as written, counters included."""
    numbers: array[int] = field(default_factory=lambda: array("L"))
    """Line number of each in its file."""
    _by_destination: dict[str, list[int]] | None = field(default=None, compare=False, repr=False)

    def candidates(self, destination: str) -> Iterator[int]:
        """Positions of the rules that could apply to packets for this address, in order."""
        if len(self.lines) < INDEXED_FROM:
            return iter(range(len(self.lines)))
        if self._by_destination is None:
            self._by_destination = self._indexed()
        found = self._by_destination.get(destination, [])
        return iter(sorted([*found, *self._by_destination[""]]))

    def _indexed(self) -> dict[str, list[int]]:
        index: dict[str, list[int]] = {"": []}
        for position, line in enumerate(self.lines):
            match = _HOST.match(line)
            index.setdefault(match[1] if match else "", []).append(position)
        return index


@dataclass(frozen=True, slots=True)
class XtTables:
    """Every table of one family and one variant of the tools."""

    ipv6: bool
    variant: str
    """``legacy`` or ``nft``; empty where the listing does not say."""
    file: str
    tables: Mapping[str, Mapping[str, XtChain]]
    """Chains by name, by table name."""

    def size(self) -> int:
        """Number of rules."""
        return sum(len(c.lines) for chains in self.tables.values() for c in chains.values())
