"""One disagreement between rules and cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tracer.drift.served import Place


class Turn(Enum):
    """In which way they differ; the value is how a sentence about it begins."""

    FLUSHED = "kube-proxy's rules are gone"
    UNMET = "rules that no packet meets"
    UNREACHED = "no packet meets kube-proxy's rules"
    NOT_PROGRAMMED = "not programmed"
    LEFT = "programmed, but no Service has it"
    WITHOUT = "endpoints without a rule"
    GONE = "rules for endpoints that are gone"
    REFUSED = "refused, although it has endpoints"
    LOCALITY = "endpoints of this node are not known as such"
    UNEVEN = "unequal shares"
    SET_LACKS = "missing in a set"
    SET_LEFT = "left in a set"
    NOT_BOUND = "not on kube-ipvs0"
    LEFT_BOUND = "left on kube-ipvs0"


WHOLE_NODE = (Turn.FLUSHED, Turn.UNREACHED)
"""Those that no single Service is to blame for."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong with one place, set or address."""

    turn: Turn
    what: str
    """The place, set or address in words."""
    told: str
    """What the rules say, and what they should."""
    service: str = ""
    """``namespace/name`` of the Service that suffers; empty where there is none."""
    by: str = ""
    """The chain, map, set or virtual server."""


def shown(place: Place) -> str:
    """``tcp 10.96.0.10:80`` or ``tcp node port 30080``."""
    protocol, ip, port = place
    if not ip:
        return f"{protocol} node port {port}"
    return f"{protocol} [{ip}]:{port}" if ":" in ip else f"{protocol} {ip}:{port}"


def few(names: frozenset[str] | set[str], most: int = 3) -> str:
    """The first of some names, and how many more."""
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
