"""One thing that a node offers, as `viptrace check` tells it."""

from __future__ import annotations

from dataclasses import dataclass

YES, PARTLY, NO = "yes", "partly", "no"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing viptrace can make use of."""

    name: str
    works: str
    """``yes``, ``partly`` or ``no``."""
    found: str
    degrades: str = ""
    """What does not work, or works less well; empty if nothing is missing."""
    remedy: str = ""
