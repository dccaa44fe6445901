"""Kernel records from ``events.npy``, and from ``texts.json`` what their text ids mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracer.errors import InputError
from tracer.events import EVENT, EventBatch, Origin
from tracer.recording.layout import checked, converted
from tracer.sources import Problem

_BATCH_RECORDS = 32_768
_REMEDY = "give a file that viptrace recorded"


class EventsSource:
    """Reads records in order of time; columns that an older file lacks are zero."""

    name = "events"

    def __init__(
        self,
        records: Path,
        texts: Path | None = None,
        origin: Origin = Origin.KERNEL,
        batch_records: int = _BATCH_RECORDS,
    ) -> None:
        self._path, self._texts_path, self._origin = records, texts, origin
        self._batch_records = batch_records
        self._texts: dict[int, str] = {}
        self._stored: npt.NDArray[np.void] = np.zeros(0, dtype=EVENT)
        self._order: npt.NDArray[np.intp] | None = None
        self._row = 0

    def problems(self) -> list[Problem]:
        """None: what cannot be read is an error when opened."""
        return []

    def open(self) -> None:
        """Map the file; InputError if it holds no records."""
        self._stored = self._mapped()
        self._texts = {} if self._texts_path is None else _texts(self._texts_path)
        times = self._stored["time_ns"]
        if not bool((times[1:] >= times[:-1]).all()):
            self._order = np.argsort(times, kind="stable")

    def read(self, timeout: float) -> EventBatch | None:
        """The next records; None at the end. Never waits."""
        rows = slice(self._row, self._row + self._batch_records)
        stored = self._stored[rows] if self._order is None else self._stored[self._order[rows]]
        if not len(stored):
            return None
        records = converted(stored)
        texts = self._texts if self._row == 0 else {}
        self._row += len(records)
        return EventBatch(records, self._origin, int(records["time_ns"][-1]), texts=texts)

    def close(self) -> None:
        """Let the mapped file go; safe to call twice."""
        self._stored = np.zeros(0, dtype=EVENT)
        self._order = None

    def _mapped(self) -> npt.NDArray[np.void]:
        try:
            stored = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot read {self._path}", str(error), _REMEDY) from error
        if not isinstance(stored, np.ndarray) or stored.ndim != 1:
            raise InputError(f"cannot read {self._path}", "it holds no viptrace records", _REMEDY)
        try:
            checked(stored.dtype)
        except ValueError as error:
            raise InputError(f"cannot read {self._path}", str(error), _REMEDY) from error
        return np.asarray(stored)


def _texts(path: Path) -> dict[int, str]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {int(number): str(text) for number, text in stored.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"cannot read {path}", str(error), _REMEDY) from error
