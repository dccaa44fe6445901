"""Rows of a structured type, kept as one array a field.

What is read of many rows then lies close together: of a million records of 128 bytes, one field
costs a tenth of the time. Fields that nobody has written are 0 and take no memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Chosen = npt.NDArray[np.intp] | npt.NDArray[np.bool_]
"""Rows by number or mask."""


class Fields:
    """Reads like a structured array; numbers are in this machine's byte order.

    A field of zeros is read-only: it is written as a whole.
    """

    __slots__ = ("_arrays", "_chosen", "_count", "_layout", "_source")

    def __init__(self, layout: np.dtype[np.void], count: int, *written: str) -> None:
        """``written`` fields have room, and any content; the others are 0."""
        self._layout, self._count = layout, count
        self._arrays: dict[str, Array] = {
            name: np.empty((count, *shape), dtype=kind)
            for name in written
            for kind, shape in (_kind(layout, name),)
        }
        self._source: Fields | None = None
        self._chosen: Chosen | None = None

    @classmethod
    def of(cls, layout: np.dtype[np.void], count: int, arrays: Mapping[str, Array]) -> Fields:
        """Fields as they are given, each with ``count`` rows; the others are 0."""
        made = cls(layout, count)
        made._arrays.update(arrays)
        return made

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, key: str, /) -> Array: ...
    @overload
    def __getitem__(self, key: slice, /) -> Fields: ...
    @overload
    def __getitem__(self, key: int | np.integer, /) -> np.void: ...
    @overload
    def __getitem__(self, key: Chosen, /) -> npt.NDArray[np.void]: ...
    def __getitem__(
        self, key: str | slice | int | np.integer | Chosen, /
    ) -> Array | Fields | np.void:
        """A field; some rows in a row that share its memory; or a copy of one row, or of any."""
        if isinstance(key, str):
            found = self._found(key)
            return self._zeros(key) if found is None else found
        if isinstance(key, slice):
            return self._part(key)
        if isinstance(key, np.ndarray):
            return self.rows(key).structured()
        row: np.void = self.rows(np.array([key])).structured()[0]
        return row

    def __setitem__(self, name: str, values: Array | int, /) -> None:
        """Write a whole field."""
        kind, shape = _kind(self._layout, name)
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = np.empty((self._count, *shape), dtype=kind)
        if array is not values:
            array[...] = values

    def rows(self, chosen: Chosen) -> Fields:
        """Some rows, in this order; a field is fetched when it is asked for."""
        counted = np.count_nonzero(chosen) if chosen.dtype == np.bool_ else chosen.size
        made = Fields(self._layout, int(counted))
        made._source, made._chosen = self, chosen
        return made

    def put(self, rows: Chosen, values: npt.NDArray[np.void] | Fields) -> None:
        """Write whole rows."""
        for name in self._layout.names or ():
            if name not in self._arrays and not values[name].any():
                continue
            if name not in self._arrays:
                self[name] = 0
            self._arrays[name][rows] = values[name]

    def grown(self, count: int) -> Fields:
        """A copy with room for so many rows; the new ones are 0."""
        made = Fields(self._layout, count)
        for name in self._layout.names or ():
            kind, shape = _kind(self._layout, name)
            array = made._arrays[name] = np.zeros((count, *shape), dtype=kind)
            array[: self._count] = self[name]
        return made

    def structured(self) -> npt.NDArray[np.void]:
        """A copy as one array of the structured type."""
        made = np.zeros(self._count, dtype=self._layout)
        for name in self.written():
            made[name] = self[name]
        return made

    def written(self) -> frozenset[str]:
        """Fields that are not all 0, as far as known."""
        own = frozenset(self._arrays)
        return own if self._source is None else own | self._source.written()

    def _found(self, name: str) -> Array | None:
        """None for a field of zeros."""
        array = self._arrays.get(name)
        if array is None and self._source is not None:
            source = self._source._found(name)
            if source is not None:
                array = self._arrays[name] = source[self._chosen]
        return array

    def _zeros(self, name: str) -> Array:
        kind, shape = _kind(self._layout, name)
        return np.broadcast_to(np.zeros((), dtype=kind), (self._count, *shape))

    def _part(self, part: slice) -> Fields:
        first, last, step = part.indices(self._count)
        made = Fields(self._layout, len(range(first, last, step)))
        made._arrays = {name: array[part] for name, array in self._arrays.items()}
        if self._source is not None and self._chosen is not None:
            chosen = self._chosen
            if chosen.dtype == np.bool_:
                chosen = np.flatnonzero(chosen)
            made._source, made._chosen = self._source, chosen[part]
        return made

    @classmethod
    def joined(cls, parts: Sequence[Fields]) -> Fields:
        """One after the other; at least one, all of one type."""
        if len(parts) == 1:
            return parts[0]
        made = cls(parts[0]._layout, sum(map(len, parts)))
        for name in frozenset[str]().union(*(part.written() for part in parts)):
            made._arrays[name] = np.concatenate([part[name] for part in parts])
        return made


@cache
def _kind(layout: np.dtype[np.void], name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    field = layout[name]
    return field.base.newbyteorder("="), field.shape
