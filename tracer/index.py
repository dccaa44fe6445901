"""64-bit keys to small integers, for whole columns at a time.

An open-addressing table in two NumPy arrays: a lookup or insertion of n keys is a
handful of vectorised probes, never a Python step per key. Keys are hashes already,
so their low bits choose the slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.int64]

_EMPTY = np.uint64(0)
_GONE = np.uint64(1)
CHUNK = 16_384
"""Records hashed at once: the lines that hold their fields stay in the processor's caches."""
RESERVED = np.uint64(2)
"""Keys below this mark empty and deleted slots."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Items by their keys: each of k groups is what has one key, groups in no order."""

    which: npt.NDArray[np.intp]
    """Shape (n,): the group of each item."""
    order: npt.NDArray[np.intp]
    """Shape (n,): the items group by group, in no order within one."""
    begins: npt.NDArray[np.intp]
    """Shape (k,): where in ``order`` each group begins."""

    @classmethod
    def of(cls, keys: Keys) -> Groups:
        """Bring equal keys together."""
        # A stable sort would keep the order within groups, at five times the price.
        order = np.argsort(keys)
        ordered = keys[order]
        changes = np.ones(len(keys), dtype=np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=changes[1:])
        begins = np.flatnonzero(changes)
        which = np.empty(len(keys), dtype=np.intp)
        which[order] = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(keys)))
        return cls(which, order, begins)

    def __len__(self) -> int:
        return len(self.begins)

    def first(self) -> npt.NDArray[np.intp]:
        """Number of each group's first item."""
        return np.minimum.reduceat(self.order, self.begins) if len(self) else self.begins

    def last(self) -> npt.NDArray[np.intp]:
        """Number of each group's last item."""
        return np.maximum.reduceat(self.order, self.begins) if len(self) else self.begins

    def first_of(self, items: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Number of each group's first item among these, which ascend; -1 without one."""
        found = np.full(len(self), -1, dtype=np.intp)
        # Of equal places the last assignment stands, so that going backwards keeps the first.
        found[self.which[items[::-1]]] = items[::-1]
        return found

    def any(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """All bits of each group's items."""
        if not len(self):
            return bits[:0]
        return np.bitwise_or.reduceat(bits[self.order], self.begins)

    def count(self, items: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """How many of these items each group has."""
        return np.bincount(self.which[items], minlength=len(self))


def distinct(keys: Keys) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where each distinct key first stands, in order of appearance, and which of them each is."""
    groups = Groups.of(keys)
    first = groups.first()
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[groups.which]


def ascending(numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The distinct numbers in order; ``np.unique`` hashes them first, which takes longer."""
    ordered = np.sort(numbers)
    keep = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
    return ordered[keep]


class HashIndex:
    """Maps keys (>= ``RESERVED``) to values; missing keys read as -1."""

    def __init__(self, capacity: int = 1 << 14) -> None:
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self._keys = np.zeros(capacity, dtype=np.uint64)
        self._values = np.full(capacity, -1, dtype=np.int64)
        self._mask = np.uint64(capacity - 1)
        self._used = 0
        """Slots taken, deleted ones included; equal keys in one insertion count twice."""

    def __len__(self) -> int:
        return int(np.count_nonzero(self._keys >= RESERVED))

    def lookup(self, keys: Keys) -> Values:
        """Value of each key, -1 where there is none."""
        slots = self._slots_of(keys)
        found = self._values[np.maximum(slots, 0)]
        return np.where(slots >= 0, found, -1)

    def _slots_of(self, keys: Keys) -> Values:
        """Slot that holds each key, -1 where there is none."""
        slots = keys & self._mask
        there = self._keys[slots]
        hit = there == keys
        result = np.where(hit, slots.view(np.int64), -1)
        pending = np.flatnonzero(~hit & (there != _EMPTY))
        while pending.size:  # few: most keys stand in their own slot, or nothing does
            slots[pending] = (slots[pending] + np.uint64(1)) & self._mask
            there = self._keys[slots[pending]]
            hit = there == keys[pending]
            result[pending[hit]] = slots[pending[hit]].view(np.int64)
            pending = pending[~hit & (there != _EMPTY)]
        return result

    def insert(self, keys: Keys, values: Values) -> None:
        """Bind keys to values, replacing what they were bound to; of equal keys the last wins."""
        if (self._used + len(keys)) * 2 > len(self._keys):
            self._grow(len(keys))
        slots = self._slots_of(keys)
        known = slots >= 0
        self._values[slots[known]] = values[known]
        if not known.all():
            self._place(keys[~known], values[~known])

    def _place(self, keys: Keys, values: Values) -> None:
        """Insert keys that are not in the table yet."""
        slots = keys & self._mask
        pending = np.arange(len(keys))
        while pending.size:
            wanted = slots[pending]
            free = self._keys[wanted] == _EMPTY
            self._keys[wanted[free]] = keys[pending[free]]
            won = self._keys[wanted] == keys[pending]
            self._values[wanted[won]] = values[pending[won]]
            self._used += int(np.count_nonzero(won & free))
            pending = pending[~won]
            slots[pending] = (slots[pending] + np.uint64(1)) & self._mask

    def delete(self, keys: Keys, values: Values) -> None:
        """Forget keys that are still bound to these values; others stay."""
        slots = self._slots_of(keys)
        bound = (slots >= 0) & (self._values[np.maximum(slots, 0)] == values)
        self._keys[slots[bound]] = _GONE
        self._values[slots[bound]] = -1

    def _grow(self, coming: int) -> None:
        """Rehash without the deleted slots, at most a quarter full with what is coming."""
        living = self._keys >= RESERVED
        keys, values = self._keys[living], self._values[living]
        capacity = 1 << 14
        while (len(keys) + coming) * 4 > capacity:
            capacity <<= 1
        self._allocate(capacity)
        self._place(keys, values)
