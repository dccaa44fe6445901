"""Routes, policy rules and neighbours as the kernel lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NextHop:
    """One way out."""

    device: str
    gateway: bytes = b""
    """16 packed bytes; empty when the destination itself is on the link."""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of a routing table."""

    table: str
    kind: str
    """``unicast``, ``local``, ``broadcast``, ``blackhole``, ``unreachable``, ``prohibit``, …"""
    network: bytes
    """16 packed bytes, IPv4 mapped."""
    prefix: int
    """Of 128 bits, also for IPv4."""
    ipv6: bool
    metric: int = 0
    hops: tuple[NextHop, ...] = ()
    source: bytes = b""
    """``prefsrc``; empty if none."""
    usable: bool = True
    """Not ``dead`` nor ``linkdown``."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One line of ``ip rule``."""

    priority: int
    ipv6: bool
    table: str = ""
    action: str = "table"
    """``table``, ``blackhole``, ``unreachable``, ``prohibit`` or ``nop``; others are unknown."""
    source: str = ""
    destination: str = ""
    """Networks as text; empty for all."""
    incoming: str = ""
    outgoing: str = ""
    mark: int = 0
    mask: int = 0
    inverted: bool = False
    suppress_prefix: int = -1
    """Routes with a prefix this short or shorter are passed over; -1 for none."""
    unknown: tuple[str, ...] = ()
    """Selectors that are not understood."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One entry of the neighbour table."""

    ip: bytes
    device: str
    states: tuple[str, ...] = ()
    """``REACHABLE``, ``FAILED``, …"""
