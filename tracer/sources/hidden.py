"""A source whose inputs are made fit for strangers before anything is concluded from them."""

from __future__ import annotations

from tracer.cluster.model import Cluster
from tracer.events import EventBatch
from tracer.node.model import NodeState
from tracer.recording import StateAt
from tracer.recording.privacy import Privacy
from tracer.sources import Problem, Source


class HiddenSource:
    """Hands on what a source tells, as it may be seen."""

    def __init__(self, source: Source, privacy: Privacy) -> None:
        self.name = source.name
        self._source, self._privacy = source, privacy

    def problems(self) -> list[Problem]:
        """Those of the source."""
        return self._source.problems()

    def open(self) -> None:
        """Open the source."""
        self._source.open()

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The next input, as it may be seen."""
        item = self._source.read(timeout)
        if isinstance(item, EventBatch):
            return self._privacy.batch(item)
        return None if item is None else StateAt(hidden(item.state, self._privacy), item.at_ns)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def hidden(state: NodeState | Cluster, privacy: Privacy) -> NodeState | Cluster:
    """A state as it may be seen."""
    return privacy.node(state) if isinstance(state, NodeState) else privacy.cluster(state)
