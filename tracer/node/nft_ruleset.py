"""An nftables ruleset as values: statements stay in the form of ``nft -j``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Json = object
"""A value out of ``json.loads``."""


@dataclass(slots=True)
class NftRule:
    """One rule: its statements in order."""

    statements: list[Json]
    comment: str = ""
    line: int = 0


@dataclass(slots=True)
class NftChain:
    """One chain; base chains have a hook."""

    name: str
    kind: str = ""
    """``filter``, ``nat``, ``route`` or empty."""
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    rules: list[NftRule] = field(default_factory=list)
    unknown: str = ""
    """What in its declaration is not understood."""


@dataclass(slots=True)
class NftSet:
    """A set or map: keys to values, intervals and prefixes apart."""

    name: str
    is_map: bool = False
    dynamic: bool = False
    exact: dict[tuple[str, ...], Json] = field(default_factory=dict)
    """Value by key parts as text; None in a set."""
    ranges: list[tuple[tuple[Json, ...], Json]] = field(default_factory=list)
    """Keys with a prefix or range in them."""
    comments: dict[tuple[str, ...], str] = field(default_factory=dict)


@dataclass(slots=True)
class NftTable:
    """One table of one family: ``ip``, ``ip6``, ``inet``, …"""

    family: str
    name: str
    chains: dict[str, NftChain] = field(default_factory=dict)
    sets: dict[str, NftSet] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NftRuleset:
    """All tables by family and name; not changed once read."""

    file: str = ""
    tables: Mapping[tuple[str, str], NftTable] = field(default_factory=dict)
