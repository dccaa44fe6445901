"""What rules make of a place, whichever engine holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Place = tuple[str, str, int]
"""Protocol name, address as text (empty for a node port on every address), and port."""

REJECT, DROP = "REJECT", "DROP"
EVEN = 0.01
"""Shares of endpoints may differ by this part of themselves: engines round."""


@dataclass(frozen=True, slots=True)
class Served:
    """One place as the rules treat it."""

    backends: frozenset[str] = frozenset()
    """``ip:port`` of every endpoint that new connections may be sent to."""
    refused: str = ""
    """``REJECT`` or ``DROP`` where a rule refuses what is not translated."""
    uneven: str = ""
    """How the shares of the endpoints differ; empty while they are equal."""
    by: str = ""
    """The chain, map or virtual server that says so."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All places of one engine and address family."""

    engine: str
    """``iptables``, ``nftables`` or ``ipvs``."""
    ipv6: bool
    places: Mapping[Place, Served] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """What must be there for any place to be reached and is not: jumps, chains, maps."""
    unmet: tuple[str, ...] = ()
    """Chains with rules to which nothing leads."""


def unevenness(shares: Mapping[str, float]) -> str:
    """Words for endpoints with another share than the rest; empty while all have the same."""
    fair = 1 / len(shares) if shares else 0.0
    odd = {name: share for name, share in shares.items() if abs(share - fair) > EVEN * fair}
    if not odd:
        return ""
    name, share = max(odd.items(), key=lambda item: abs(item[1] - fair))
    return f"{name} gets {share:.1%} of new connections instead of {fair:.1%}"
