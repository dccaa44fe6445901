"""What happened lately on one time line: kernel decisions, node, cluster, findings.

Bounded: a ring of records as they came, and the latest changes as sentences.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.cluster.model import Cluster
from tracer.diagnosis.finding import Finding
from tracer.events import EVENT, EventRows, Flag, Hook, Records, as_rows, membership, picked
from tracer.node.model import NodeState
from tracer.pipeline import Pipeline, Update
from tracer.plain import harmless
from tracer.view.changes import cluster_changes, node_changes
from tracer.view.sheet import Tone

RECORDS_KEPT = 1 << 14
CHANGES_KEPT = 1000
_SILENT = membership(Hook.NONE, Hook.PACKET, Hook.PAIRED)
_RAW = np.dtype((np.void, EVENT.itemsize))


@dataclass(frozen=True, slots=True)
class Change:
    """Something other than a record."""

    id: int
    at_ns: int
    what: str
    """``finding``, ``cluster`` or ``node``, with what became of it."""
    text: str
    """Harmless."""
    tone: Tone = Tone.PLAIN


class Timeline:
    """Remembers the latest records and changes, numbered in the order of their coming."""

    def __init__(self, records_kept: int = RECORDS_KEPT) -> None:
        self.changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        self.forgotten = 0
        """Records that were overwritten."""
        self._kept = records_kept
        self._ring = np.zeros(0, dtype=EVENT)
        self._ids = np.zeros(0, dtype=np.int64)
        self._count = 0
        """Records ever taken."""
        self._next_id = 1
        self._node, self._cluster = NodeState(), Cluster()

    @property
    def newest(self) -> int:
        """The highest id given."""
        return self._next_id - 1

    def observe(self, pipeline: Pipeline, update: Update) -> None:
        """Take one step of the pipeline."""
        self._add(update.batch.records)
        self._compare(pipeline)
        for finding in update.opened:
            tone = Tone.BAD if finding.severity > 1 else Tone.PLAIN
            self._note(pipeline.now_ns, "finding opened", _told(finding), tone)
        for finding in update.closed:
            self._note(pipeline.now_ns, "finding closed", _told(finding), Tone.GOOD)

    def records(self) -> tuple[EventRows, npt.NDArray[np.int64]]:
        """The records that are kept and their ids, in no particular order."""
        held = min(self._count, len(self._ring))
        return self._ring[:held], self._ids[:held]

    def oldest_ns(self, began_ns: int) -> int:
        """How far back it goes: to the beginning, unless that had to be forgotten."""
        return int(self._ring["time_ns"].min()) if self.forgotten else began_ns

    def _add(self, records: Records) -> None:
        wanted = ~_SILENT[records["hook"]] & (records["flags"] & Flag.EXISTING == 0)
        told = as_rows(picked(records, np.flatnonzero(wanted)[-self._kept :]))
        if not len(told):
            return
        if not len(self._ring):
            self._ring = np.zeros(self._kept, dtype=EVENT)
            self._ids = np.zeros(self._kept, dtype=np.int64)
        places = (self._count + np.arange(len(told))) % self._kept
        self._ring.view(_RAW)[places] = told.view(_RAW)
        self._ids[places] = self._next_id + np.arange(len(told))
        self._next_id += len(told)
        self._count += len(told)
        self.forgotten = max(self._count - self._kept, 0)

    def _compare(self, pipeline: Pipeline) -> None:
        """Note how node and cluster differ from what they were."""
        node, self._node = self._node, pipeline.node
        if node is not self._node:
            for text in node_changes(node, self._node):
                self._note(pipeline.now_ns, "node", text, Tone.WARN)
        cluster, self._cluster = self._cluster, pipeline.cluster
        if cluster is not self._cluster:
            for at_ns, text in cluster_changes(cluster, self._cluster):
                self._note(at_ns or pipeline.now_ns, "cluster", text, Tone.WARN)

    def _note(self, at_ns: int, what: str, text: str, tone: Tone = Tone.PLAIN) -> None:
        self.changes.append(Change(self._next_id, at_ns, what, text, tone))
        self._next_id += 1


def _told(finding: Finding) -> str:
    return harmless(f"{finding.severity.label} {finding.cause}: {finding.summary}")
