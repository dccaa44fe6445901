"""Kernel records into ``events.npy`` with ``texts.json`` beside it.

NumPy's format needs the number of rows first and the file is sorted by time, so
records are spooled and put in place at the end; memory stays that of one column.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, EventBatch, EventRows, Hook, stacked

_ROWS_AT_ONCE = 65_536


class EventsWriter:
    """Takes batches in any order; the two files are there after ``close``."""

    def __init__(self, records: Path, texts: Path) -> None:
        self._path, self._texts_path = records, texts
        self._spool_path = records.with_name(records.name + ".part")
        self._spool = self._spool_path.open("wb")
        self._texts: dict[int, str] = {}

    def append(self, batch: EventBatch) -> None:
        """Add a batch's records but those of packets, which belong into the capture."""
        self._texts.update(batch.texts)
        records = batch.records[batch.records["hook"] != Hook.PACKET]
        self._spool.write(stacked([records]).tobytes())

    def close(self) -> None:
        """Write both files; safe to call twice."""
        if self._spool.closed:
            return
        self._spool.close()
        self._write_sorted()
        self._spool_path.unlink()
        texts = {str(number): text for number, text in sorted(self._texts.items())}
        self._texts_path.write_text(
            json.dumps(texts, ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
        )

    def _write_sorted(self) -> None:
        spooled = _mapped(self._spool_path)
        order = np.argsort(spooled["time_ns"], kind="stable")
        with self._path.open("wb") as file:
            header = {"descr": EVENT.descr, "fortran_order": False, "shape": (len(spooled),)}
            np.lib.format.write_array_header_1_0(file, header)
            for first in range(0, len(order), _ROWS_AT_ONCE):
                file.write(_rows(spooled, order[first : first + _ROWS_AT_ONCE]))


def _mapped(path: Path) -> EventRows:
    if not path.stat().st_size:
        return np.zeros(0, dtype=EVENT)
    return np.memmap(path, dtype=EVENT, mode="r")


def _rows(spooled: EventRows, rows: npt.NDArray[np.intp]) -> bytes:
    return spooled[rows].tobytes()
