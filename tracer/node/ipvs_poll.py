"""IPVS' connection list, read again and again: it has no events of its own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tracer.events import EventRows, Flag, Hook, no_records, stacked
from tracer.node.diff import TableDiff, ended
from tracer.node.existing import PROC, ipvs_connections

EVERY_S = 1.0
SHARE = 20
"""Reading takes at most one twentieth of the time, however long the list."""


class IpvsPoll:
    """New and ended IPVS connections since the last reading.

    The first reading gives all there are, with FLAG_EXISTING. A connection that begins
    and ends between two readings is not seen here.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._known = TableDiff(by_backend=True)
        self._first = True
        self._due = 0.0
        self.failure = ""
        """Why the list cannot be read; empty while it can, or where there is no IPVS."""

    def due_in(self, now: float) -> float:
        """Seconds from ``now`` (monotonic) to the next reading."""
        return max(0.0, self._due - now)

    def poll(self, now: float, time_ns: int) -> tuple[EventRows, int]:
        """IPVS_END and IPVS_NEW records if a reading is due, and lines not understood."""
        if now < self._due:
            return no_records(), 0
        began = time.monotonic()
        try:
            records, damaged = ipvs_connections(self._proc, time_ns)
        except OSError as error:
            self._due = now + EVERY_S
            self.failure = error.strerror or str(error)
            return no_records(), 0
        self.failure = ""
        changes = self._changes(records, time_ns)
        self._due = now + max(EVERY_S, SHARE * (time.monotonic() - began))
        return changes, damaged

    def _changes(self, records: EventRows, time_ns: int) -> EventRows:
        new, gone = self._known.replace(records)
        if not self._first:
            new["flags"] &= np.uint16(~Flag.EXISTING & 0xFFFF)
        self._first = False
        return stacked([ended(gone, Hook.IPVS_END, time_ns), new])
