"""Columns handed from one process to another in memory that both see.

The giver writes into a slot and says where what stands; the taker looks at it without a copy, and
is told when the last array on it is gone.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracer.fields import Array

SLOT_BYTES = 128 << 20
"""Between the beginnings of two slots; what is not written takes no memory."""
_ALIGNED = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array stands in a slot, and what it is."""

    at: int
    kind: np.dtype[Any]
    shape: tuple[int, ...]


class Slots:
    """Made before the processes part: one of them writes, the other looks."""

    def __init__(self) -> None:
        self._file = os.memfd_create("viptrace-slots", os.MFD_CLOEXEC)

    def put(self, slot: int, arrays: Mapping[str, Array]) -> dict[str, Place]:
        """Write arrays into a slot that nobody looks at; ValueError if they are too large."""
        places, size = {}, 0
        for name, array in arrays.items():
            places[name] = Place(size, array.dtype, array.shape)
            size += -(-array.nbytes // _ALIGNED) * _ALIGNED
        if size > SLOT_BYTES:
            raise ValueError(f"{size} bytes do not fit into a slot")
        os.ftruncate(self._file, max(os.fstat(self._file).st_size, (slot + 1) * SLOT_BYTES))
        area = mmap.mmap(self._file, max(size, 1), offset=slot * SLOT_BYTES)
        for name, array in arrays.items():
            _at(area, places[name])[...] = array
        return places

    def look(
        self, slot: int, places: Mapping[str, Place], done: Callable[[int], None]
    ) -> dict[str, Array]:
        """Arrays in a slot; ``done`` is called with its number when none of them is left."""
        size = max((place.at + _size(place) for place in places.values()), default=0)
        area = mmap.mmap(
            self._file, max(size, 1), access=mmap.ACCESS_READ, offset=slot * SLOT_BYTES
        )
        weakref.finalize(area, done, slot).atexit = False
        return {name: _at(area, place) for name, place in places.items()}

    def close(self) -> None:
        """Give the memory back as soon as nobody looks at it any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _size(place: Place) -> int:
    return place.kind.itemsize * int(np.prod(place.shape))


def _at(area: mmap.mmap, place: Place) -> Array:
    return np.ndarray(place.shape, place.kind, buffer=area, offset=place.at)
