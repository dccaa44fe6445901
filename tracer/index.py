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
_SLOT = np.dtype([("key", "<u8"), ("value", "<i8")])
_ROW = np.dtype(f"V{_SLOT.itemsize}")
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


def together(keys: Keys) -> npt.NDArray[np.intp]:
    """An order that brings equal keys together, in their order; by their upper bits, roughly.

    Numbers in place of the lower bits make it a sort of plain words, a third of a stable
    ``argsort``.
    """
    low = np.uint64((1 << (max(len(keys), 2) - 1).bit_length()) - 1)
    words = keys & ~low | np.arange(len(keys), dtype=np.uint64)
    words.sort()
    order = (words & low).astype(np.intp)
    ordered = keys[order]
    alike = (words[1:] ^ words[:-1]) <= low
    if (alike & (ordered[1:] != ordered[:-1])).any():  # others have the same upper bits
        return np.argsort(keys, kind="stable")
    return order


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
    """Maps keys (>= ``RESERVED``) to values; missing keys read as -1.

    Key and value stand side by side: each look costs one line of memory, not two.
    """

    def __init__(self, capacity: int = 1 << 14) -> None:
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self._table = np.zeros(capacity, dtype=_SLOT)
        self._rows = self._table.view(_ROW)
        self._mask = np.uint64(capacity - 1)
        self._used = 0
        """Slots taken, deleted ones included; equal keys in one insertion count twice."""

    def __len__(self) -> int:
        return int(np.count_nonzero(self._table["key"] >= RESERVED))

    def lookup(self, keys: Keys) -> Values:
        """Value of each key, -1 where there is none."""
        slots = self._home(keys)
        there = self._at(slots)
        hit = there["key"] == keys
        result = np.where(hit, there["value"], -1)
        pending = np.flatnonzero(~hit & (there["key"] != _EMPTY))
        while pending.size:  # few: most keys stand in their own slot, or nothing does
            slots[pending] = self._next(slots[pending])
            there = self._at(slots[pending])
            hit = there["key"] == keys[pending]
            result[pending[hit]] = there["value"][hit]
            pending = pending[~hit & (there["key"] != _EMPTY)]
        return result

    def insert(self, keys: Keys, values: Values) -> None:
        """Bind keys to values, replacing what they were bound to; of equal keys the last wins."""
        if (self._used + len(keys)) * 2 > len(self._table):
            self._grow(len(keys))
        rows = np.empty(len(keys), dtype=_SLOT)
        rows["key"], rows["value"] = keys, values
        slots = self._home(keys)
        while keys.size:
            free = self._seek(slots, keys)
            self._rows[slots] = rows.view(_ROW)
            won = self._table["key"][slots] == keys
            self._used += int(np.count_nonzero(won & free))
            if won.all():
                return
            # Another of these keys took the slot: on from there.
            slots, keys, rows = slots[~won], keys[~won], rows[~won]

    def _seek(self, slots: Values, keys: Keys) -> npt.NDArray[np.bool_]:
        """Move ``slots`` on to where each key stands, else to a free place for it; which those are.

        Of keys that have the same free place only one can take it.
        """
        there = self._table["key"][slots]
        free = there == _EMPTY
        pending = np.flatnonzero(~free & (there != keys))
        while pending.size:
            slots[pending] = self._next(slots[pending])
            there = self._table["key"][slots[pending]]
            free[pending] = there == _EMPTY
            pending = pending[(there != _EMPTY) & (there != keys[pending])]
        return free

    def delete(self, keys: Keys, values: Values) -> None:
        """Forget keys that are still bound to these values; others stay."""
        slots = self._home(keys)
        known = ~self._seek(slots, keys)
        slots = slots[known]
        bound = self._table["value"][slots] == values[known]
        self._table["key"][slots[bound]] = _GONE

    def _home(self, keys: Keys) -> Values:
        """Where each key would stand first."""
        return (keys & self._mask).view(np.int64)

    def _next(self, slots: Values) -> Values:
        return slots + 1 & self._mask.view(np.int64)

    def _at(self, slots: Values) -> npt.NDArray[np.void]:
        return self._rows.take(slots).view(_SLOT)

    def _grow(self, coming: int) -> None:
        """Rehash without the deleted slots, at most a quarter full with what is coming."""
        living = self._table[self._table["key"] >= RESERVED]
        capacity = 1 << 14
        while (len(living) + coming) * 4 > capacity:
            capacity <<= 1
        self._allocate(capacity)
        self.insert(living["key"], living["value"])
