"""A source whose inputs are changed on their way: a wrong clock put right, names hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tracer.events import EventBatch
from tracer.node.model import NodeState
from tracer.recording import StateAt
from tracer.recording.privacy import Privacy
from tracer.sources import Problem, Source

Change = Callable[[EventBatch | StateAt], EventBatch | StateAt]


class ChangedSource:
    """Hands on what a source tells, each input changed."""

    def __init__(self, source: Source, change: Change) -> None:
        self.name = source.name
        self._source, self._change = source, change

    def problems(self) -> list[Problem]:
        """Those of the source."""
        return self._source.problems()

    def open(self) -> None:
        """Open the source."""
        self._source.open()

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The next input as it is wanted."""
        item = self._source.read(timeout)
        return None if item is None else self._change(item)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def earlier(ahead_ns: int) -> Change:
    """Times put right for a clock that was ahead by so much; 0 stands for no time."""

    def right(time_ns: int) -> int:
        return time_ns - ahead_ns if time_ns else 0

    def change(item: EventBatch | StateAt) -> EventBatch | StateAt:
        if isinstance(item, EventBatch):
            records = item.rows.copy()
            records["time_ns"] -= ahead_ns
            return replace(item, records=records, until_ns=right(item.until_ns))
        state = item.state
        if isinstance(state, NodeState):
            state = replace(state, at_ns=right(state.at_ns))
        return StateAt(state, right(item.at_ns))

    return change


def fit_for_strangers(privacy: Privacy) -> Change:
    """Names and addresses hidden before anything is concluded from them."""

    def change(item: EventBatch | StateAt) -> EventBatch | StateAt:
        if isinstance(item, EventBatch):
            return privacy.batch(item)
        state = item.state
        shown = privacy.node(state) if isinstance(state, NodeState) else privacy.cluster(state)
        return StateAt(shown, item.at_ns)

    return change
