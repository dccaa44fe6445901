"""64-bit keys to small integers, for whole columns at a time.

An open-addressing table in two NumPy arrays: a lookup or insertion of n keys is a
handful of vectorised probes, never a Python step per key. Keys are hashes already,
so their low bits choose the slot.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.int64]

_EMPTY = np.uint64(0)
_GONE = np.uint64(1)
RESERVED = np.uint64(2)
"""Keys below this mark empty and deleted slots."""


def distinct(keys: Keys) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where each distinct key first stands, in order of appearance, and which of them each is."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


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
        result = np.full(len(keys), -1, dtype=np.int64)
        slots = keys & self._mask
        pending = np.arange(len(keys))
        while pending.size:
            there = self._keys[slots[pending]]
            hit = there == keys[pending]
            result[pending[hit]] = slots[pending[hit]].astype(np.int64)
            pending = pending[~hit & (there != _EMPTY)]
            slots[pending] = (slots[pending] + np.uint64(1)) & self._mask
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
