"""The tuples of one packet in the order it had them.

Every router takes one from the TTL, so a tuple seen only with a higher TTL was before
one seen only with lower ones, whatever the clocks say. Tuples whose TTLs overlap are
not one packet on its way but two packets that look alike: one sent to two servers, or
two senders of the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Records, picked
from tracer.index import together
from tracer.pairing.traces import Ends, Hashes, Mask, Rows, Times, runs
from tracer.pairing.window import Groups

MAX_HOPS = 16
"""Routers between two capture points of one packet; more of them are not believed."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """One packet under one tuple, wherever it was seen."""

    groups: npt.NDArray[np.int64]
    keys: Hashes
    ends: Ends
    first: Records
    """One record of it, with the earliest time."""
    highest: npt.NDArray[np.int16]
    """TTL where it was first on its way."""
    lowest: npt.NDArray[np.int16]

    def rows(self, rows: Rows) -> Sightings:
        """Some of them, or all in another order."""
        return Sightings(
            self.groups[rows],
            self.keys[rows],
            self.ends.rows(rows),
            picked(self.first, rows),
            self.highest[rows],
            self.lowest[rows],
        )

    @classmethod
    def of(cls, found: Groups) -> Sightings:
        """Sum up traces tuple by tuple."""
        traces, ends = found.traces, found.traces.ends
        tuples = ends.sources + ends.destinations * np.uint64(3)
        coarse = found.numbers.astype(np.uint64) << np.uint64(40) | tuples >> np.uint64(24)
        order = together(coarse)
        numbers, tuples = found.numbers[order], tuples[order]
        begins, _ = runs((numbers[1:] != numbers[:-1]) | (tuples[1:] != tuples[:-1]))
        ttls = traces.records["ttl"][order].astype(np.int16)
        at = order[begins]
        first = picked(traces.records, at)
        first["time_ns"] = np.minimum.reduceat(traces.times[order], begins)
        return cls(
            found.numbers[at],
            traces.keys[at],
            ends.rows(at),
            first,
            np.maximum.reduceat(ttls, begins),
            np.minimum.reduceat(ttls, begins),
        )


@dataclass(frozen=True, slots=True)
class Passages:
    """Packets that came in under one tuple and went on under another."""

    before: Sightings
    after: Sightings
    between: Hashes
    """Conversation of the tuple next to the first; of a chain a middle one."""
    hops: npt.NDArray[np.int16]
    proven: Mask
    """The TTL shows the order; otherwise only the clock does."""
    unique: Mask
    """No other packet had the same key at the time."""

    def rows(self, rows: Rows) -> Passages:
        """Some of them."""
        return Passages(
            self.before.rows(rows),
            self.after.rows(rows),
            self.between[rows],
            self.hops[rows],
            self.proven[rows],
            self.unique[rows],
        )

    @property
    def times(self) -> Times:
        """When each packet was first seen."""
        return np.minimum(self.before.first["time_ns"], self.after.first["time_ns"])


def passages(found: Groups) -> list[Passages]:
    """First and last tuple of every packet whose way is clear.

    Packets of one key that cannot be one are tried apart by who sent them, then by
    whom they were sent to: a translation of the server keeps the client.
    """
    if not len(found.traces):
        return []
    left = Sightings.of(found)
    clear, taken = _clear(left, None)
    made = [clear]
    for side in ("sources", "destinations"):
        left = left.rows(np.flatnonzero(~taken))
        if not left.groups.size:
            break
        clear, taken = _clear(left, getattr(left.ends, side))
        made.append(clear)
    return [each for each in made if each.hops.size]


def _clear(sightings: Sightings, labels: Hashes | None) -> tuple[Passages, Mask]:
    """Passages of sightings with equal group and label; which sightings they explain."""
    order = _ranked(sightings, labels)
    ways = sightings.rows(order)
    changes = ways.groups[1:] != ways.groups[:-1]
    if labels is not None:
        changes |= labels[order][1:] != labels[order][:-1]
    begins, sizes = runs(changes)
    ends = begins + sizes - 1
    falls, level = _steps(ways)
    broken = np.zeros(order.size, dtype=np.int64)
    np.cumsum(~falls & ~changes, out=broken[1:])
    ordered = broken[ends] == broken[begins]
    alike = (sizes == 2) & np.append(level, False)[begins]
    hops = ways.highest[begins] - ways.lowest[ends]
    good = (ends > begins) & (ordered | alike) & (hops <= MAX_HOPS)
    good &= ~_crossed(ways, begins, ends)
    explained = np.zeros(order.size, dtype=np.bool_)
    explained[order] = np.repeat(good, sizes)
    first, last = begins[good], ends[good]
    made = Passages(
        ways.rows(first),
        ways.rows(last),
        ways.ends.conversations[first + 1],
        hops[good],
        ordered[good],
        np.full(first.size, labels is None),
    )
    return made, explained


def _ranked(sightings: Sightings, labels: Hashes | None) -> Rows:
    """By label and group, then as the packet went: TTLs fall; where they do not, by time."""
    rank = sightings.groups * 256 - sightings.highest
    times = sightings.first["time_ns"]
    return np.lexsort((times, rank) if labels is None else (times, rank, labels))


def _steps(ways: Sightings) -> tuple[Mask, Mask]:
    """From each sighting to the next: the TTL falls; it stays, and the clock alone tells."""
    falls = ways.lowest[:-1] > ways.highest[1:]
    level = (ways.highest[:-1] == ways.lowest[1:]) & (ways.lowest[:-1] == ways.highest[1:])
    level &= ways.first["time_ns"][:-1] < ways.first["time_ns"][1:]
    level &= _capture_points(ways.first)[:-1] != _capture_points(ways.first)[1:]
    return falls, level


def _capture_points(records: Records) -> Hashes:
    outgoing = ((records["flags"] & Flag.OUTGOING) != 0).astype(np.uint64)
    return records["ifindex"].astype(np.uint64) << np.uint64(1) | outgoing


def _crossed(ways: Sightings, first: Rows, last: Rows) -> Mask:
    """A packet and an answer of the same bytes: one comes from where the other went."""
    sources, destinations = ways.ends.sources, ways.ends.destinations
    return (sources[first] == destinations[last]) | (destinations[first] == sources[last])
