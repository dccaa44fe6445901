"""A source whose clock was wrong."""

from __future__ import annotations

from dataclasses import replace

from tracer.events import EventBatch
from tracer.node.model import NodeState
from tracer.recording import StateAt
from tracer.sources import Problem, Source


class ShiftedSource:
    """Hands on what a source tells, at the times of another clock."""

    def __init__(self, source: Source, ahead_ns: int) -> None:
        """``ahead_ns``: by so much the source's clock was ahead."""
        self.name = source.name
        self._source, self._ahead_ns = source, ahead_ns

    def problems(self) -> list[Problem]:
        """Those of the source."""
        return self._source.problems()

    def open(self) -> None:
        """Open the source."""
        self._source.open()

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The next input with its times put right."""
        item = self._source.read(timeout)
        if isinstance(item, EventBatch):
            records = item.rows.copy()
            records["time_ns"] -= self._ahead_ns
            return replace(item, records=records, until_ns=self._right(item.until_ns))
        if isinstance(item, StateAt):
            state = item.state
            if isinstance(state, NodeState):
                state = replace(state, at_ns=self._right(state.at_ns))
            return StateAt(state, self._right(item.at_ns))
        return None

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _right(self, time_ns: int) -> int:
        """0 stands for no time."""
        return time_ns - self._ahead_ns if time_ns else 0
