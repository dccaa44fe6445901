"""Packets that two captures share, and what they tell of the captures' clocks.

A packet that passed two capture points has two times. Those of one direction differ by the
offset of the clocks and the time on the way, those of the other by the offset less that time:
half way between them is the offset, as in NTP (RFC 5905), if both ways take as long.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Protocol, Records, picked

Times = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

MOST_KEPT = 1 << 16
"""Packets of a capture that are remembered."""
SAME_NS = 1_000_000_000
"""What looks alike in one capture after more than this is not one packet."""
AGREEING_NS = 10_000_000
"""Packets agree about an offset that are this near to it."""
LEAST_SHARED = 5
ONE_WAY_NS = 50_000_000
"""Packets of one direction tell the way from the offset only where it is longer than any way."""

_UNUSABLE = np.uint16(Flag.QUOTED | Flag.FRAGMENT | Flag.SNAPPED)
_FIELDS = ("seq", "ack", "ip_id", "length", "tcp_flags", "cookie", "detail")
_SEED = secrets.randbits(64)
"""Packets come from tenants, who might choose those that are remembered."""
_SIGHT = np.dtype(
    [("conversation", "<u8"), ("key", "<u8"), ("forward", "?"), ("first", "<i8"), ("last", "<i8")]
)


class Sketch:
    """Packets of one capture: all those of as many conversations as there is room for.

    Which conversations is the same for every capture, so that two sketches have in common
    what the captures have.
    """

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._sights = np.zeros(0, dtype=_SIGHT)
        self._below = np.uint64((1 << 64) - 1)

    def add(self, records: Records) -> None:
        """Take PACKET records in any order."""
        told = (records["flags"] & _UNUSABLE) == 0
        told &= (records["protocol"] == Protocol.TCP) | (records["cookie"] != 0)
        records = picked(records, told)
        conversations, forward = _conversations(records)
        chosen = conversations <= self._below
        records = picked(records, chosen)
        sights = np.zeros(len(records), dtype=_SIGHT)
        sights["conversation"], sights["forward"] = conversations[chosen], forward[chosen]
        sights["key"] = _keys(records, sights)
        sights["first"] = sights["last"] = records["time_ns"]
        self._sights = _merged(np.concatenate([self._sights, sights]))
        self._forget()

    def sights(self) -> npt.NDArray[np.void]:
        """Packets that are not seen again later, in the order of their keys."""
        return self._sights[self._sights["last"] - self._sights["first"] <= SAME_NS]

    def _forget(self) -> None:
        if self._sights.size <= self._most_kept:
            return
        order = np.argsort(self._sights["conversation"], kind="stable")
        kept = self._sights[order[: self._most_kept]]
        self._below = kept["conversation"][-1]
        self._sights = np.sort(kept, order="key")


@dataclass(frozen=True, slots=True)
class Offset:
    """How far one capture's clock is ahead of another's."""

    offset_ns: int
    shared: int
    """Packets that both have seen."""
    way_ns: int
    """Time on the way between them; 0 where only one direction was shared."""
    agreed: bool
    """Most packets say the same: else a clock was set meanwhile, or they are not the same."""
    both_ways: bool

    @property
    def is_certain(self) -> bool:
        """It is more than the way between them could explain, and it is agreed."""
        least = self.way_ns + 10_000 if self.both_ways else ONE_WAY_NS
        return self.agreed and abs(self.offset_ns) > least


def offset_between(one: Sketch, other: Sketch) -> Offset | None:
    """How far ``other`` is ahead of ``one``; None if they share too few packets."""
    mine, theirs = one.sights(), other.sights()
    _, here, there = np.intersect1d(
        mine["key"], theirs["key"], assume_unique=True, return_indices=True
    )
    if here.size < LEAST_SHARED:
        return None
    mine = mine[here]
    ahead: Times = theirs["first"][there] - mine["first"]
    middle, way = _by_conversation(mine, ahead)
    both_ways = bool(middle.size)
    offset_ns = int(np.median(middle)) if both_ways else int(np.median(ahead))
    way_ns = int(np.median(way)) if both_ways else 0
    near = np.abs(ahead - offset_ns) <= AGREEING_NS + way_ns
    return Offset(offset_ns, here.size, way_ns, bool(near.mean() > 0.5), both_ways)


def _by_conversation(mine: npt.NDArray[np.void], ahead: Times) -> tuple[Times, Times]:
    """Offset and time on the way by each conversation that is shared in both directions."""
    order = np.lexsort((ahead, mine["forward"], mine["conversation"]))
    ahead, mine = ahead[order], mine[order]
    group = mine["conversation"] ^ mine["forward"]
    begins = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    sizes = np.diff(np.append(begins, group.size))
    medians = ahead[begins + sizes // 2]
    conversations = mine["conversation"][begins]
    both = np.flatnonzero(conversations[1:] == conversations[:-1])
    first, second = medians[both], medians[both + 1]
    return first + (second - first) // 2, np.abs(second - first) // 2


def _mixed(value: Hashes, word: npt.NDArray[np.generic]) -> Hashes:
    mixed = (value ^ word.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ mixed >> np.uint64(29)


def _end(records: Records, side: str) -> Hashes:
    value = np.full(len(records), _SEED, dtype=np.uint64)
    for word in (records[side][:, 0], records[side][:, 1], records[f"{side}_port"]):
        value = _mixed(value, word)
    return value


def _conversations(records: Records) -> tuple[Hashes, Mask]:
    """The same for both directions, with an even number; and which of the two it is."""
    source, destination = _end(records, "src"), _end(records, "dst")
    low, high = np.minimum(source, destination), np.maximum(source, destination)
    mixed = _mixed(_mixed(low, high), records["protocol"])
    return mixed & ~np.uint64(1), source < destination


def _keys(records: Records, sights: npt.NDArray[np.void]) -> Hashes:
    value = _mixed(sights["conversation"].copy(), sights["forward"])
    for field in _FIELDS:
        value = _mixed(value, records[field])
    return value


def _merged(sights: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """One for each key, from its first sight to its last."""
    if not sights.size:
        return sights
    sights = sights[np.argsort(sights["key"], kind="stable")]
    begins = np.flatnonzero(np.concatenate([[True], sights["key"][1:] != sights["key"][:-1]]))
    merged = sights[begins]
    merged["first"] = np.minimum.reduceat(sights["first"], begins)
    merged["last"] = np.maximum.reduceat(sights["last"], begins)
    return merged
