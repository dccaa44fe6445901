"""Address sets (ipset) as they were listed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class AddressSet:
    """One set with its members as text, options cut off."""

    name: str
    kind: str
    """``hash:ip,port``, ``bitmap:port``, …"""
    ipv6: bool = False
    members: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()
    """Members marked ``nomatch``."""

    @cached_property
    def plain(self) -> frozenset[str]:
        """Members for look-up where they name single addresses and ports."""
        return frozenset(self.members)
