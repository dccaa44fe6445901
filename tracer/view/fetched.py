"""Columns of a table's rows, each fetched once for an answer.

A row is a few cache lines, so that a column of 100,000 rows costs milliseconds to fetch
and next to nothing to use again. What lies side by side in a row is fetched together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracer.flow import FLOW, Rows


def _block(first: str, last: str) -> tuple[int, int]:
    """(offset, bytes) from one field of a row to another."""
    assert FLOW.fields is not None
    begin, end = FLOW.fields[first][1], FLOW.fields[last]
    return begin, end[1] + end[0].itemsize - begin


_BLOCKS = (
    _block("id", "ended_ns"),
    _block("client", "backend_port"),
    _block("netns", "seen"),
    _block("packets", "bytes"),
)
"""What orders, counts and filters mostly ask for: moments, ends, state, and volume."""


class Fetched:
    """Some rows of a table that does not change meanwhile."""

    def __init__(
        self, flows: npt.NDArray[np.void], rows: Rows, wider: Fetched | None = None
    ) -> None:
        """``wider``: what these rows are chosen from, by place."""
        self.flows, self.rows = flows, rows
        self._wider: Fetched | None = wider
        self._places: Rows = rows
        self._blocks: dict[int, npt.NDArray[np.void]] = {}
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, field: str, /) -> npt.NDArray[Any]:
        column = self._columns.get(field)
        if column is None:
            column = self._columns[field] = self._fetch(field)
        return column

    def chosen(self, mask: npt.NDArray[np.bool_]) -> Fetched:
        """The rows that pass, with what has been fetched of them."""
        if mask.all():
            return self
        places = np.flatnonzero(mask)
        some = Fetched(self.flows, self.rows[places], self)
        some._places = places
        return some

    def _fetch(self, field: str) -> npt.NDArray[Any]:
        if not len(self.rows):
            return self.flows[:0][field]
        if self._wider is not None and field in self._wider._columns:
            return self._wider._columns[field][self._places]
        assert FLOW.fields is not None
        kind, offset = FLOW.fields[field][:2]
        for begin, size in _BLOCKS:
            if begin <= offset < begin + size:
                return self._from_block(begin, size, kind, offset - begin)
        return self.flows[field][self.rows]

    def _from_block(
        self, begin: int, size: int, kind: np.dtype[Any], offset: int
    ) -> npt.NDArray[Any]:
        block = self._blocks.get(begin)
        if block is None:
            # As plain bytes: NumPy moves those whole.
            raw = np.dtype((np.void, size))
            every = np.ndarray(len(self.flows), raw, self.flows, begin, (FLOW.itemsize,))
            block = self._blocks[begin] = every[self.rows]
        shape = (len(block), *kind.shape)
        steps = (size, kind.base.itemsize) if kind.shape else (size,)
        return np.ndarray(shape, kind.base, block, offset, steps)
