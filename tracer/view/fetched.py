"""Columns of a table's rows, each fetched once for an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracer.flow import Flows, Rows


class Fetched:
    """Some rows of a table that does not change meanwhile."""

    def __init__(self, flows: Flows, rows: Rows, wider: Fetched | None = None) -> None:
        """``wider``: what these rows are chosen from, by place."""
        self.flows, self.rows = flows, rows
        self._wider: Fetched | None = wider
        self._places: Rows = rows
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
        if self._wider is not None and field in self._wider._columns:
            return self._wider._columns[field][self._places]
        return self.flows[field][self.rows]
