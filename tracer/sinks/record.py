"""The recording sink: what went into the pipeline goes into the file, never what came out.

Steps are held back for a moment, so that a packet's comment can say what the kernel
tells of its flow a little later.
"""

from __future__ import annotations

import io
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracer.capture_file import CaptureWriter
from tracer.cells import Gathered, flows_by_cause, translated
from tracer.cluster.model import Cluster
from tracer.diagnosis.finding import Finding
from tracer.errors import InputError
from tracer.events import EventBatch, Hook, Origin, no_records, picked
from tracer.filters import Filter
from tracer.flow import Rows
from tracer.naming import naming_of
from tracer.node.model import NodeState
from tracer.packets import Spans
from tracer.pipeline import Pipeline, Update
from tracer.recording import ContentWriter, Header
from tracer.recording.comments import finding_text, packet_of, translations
from tracer.recording.files import RecordingFiles
from tracer.recording.journal import lines
from tracer.recording.names import names_of
from tracer.recording.privacy import Privacy
from tracer.recording.restated import restated
from tracer.sources import Problem

HOLD_NS = 250_000_000
"""Record time a step is held back; the most that is lost when the program is killed."""
_FINDING_WAITS_NS = 1_000_000_000
"""How long a finding waits for a packet of its own flow before any packet will do."""
_MAX_WAITING_FINDINGS = 100
_MAX_COMMENTS = 512
"""On the packets of one batch; a flow left out is commented at a later packet."""
_MAX_HELD = 4096

State = EventBatch | NodeState | Cluster


@dataclass(frozen=True, slots=True)
class _Step:
    took: State
    now_ns: int
    """The pipeline's time behind it."""
    come_ns: int
    """How far the fastest source had come: one that stands still holds nothing back."""


class RecordSink:
    """Records a run; a failure to write ends the recording, never the run."""

    def __init__(
        self,
        files: RecordingFiles,
        header: Callable[[], Header],
        privacy: Privacy | None = None,
        on_stop: Callable[[Problem], None] | None = None,
        chosen: Filter | None = None,
    ) -> None:
        """``header`` is asked when the first file begins; ``on_stop`` told when it has
        to stop; ``chosen`` keeps records and packets of these flows only."""
        self._files, self._header, self._on_stop = files, header, on_stop
        self._privacy, self._chosen = privacy or Privacy(), chosen
        self._run = secrets.token_hex(8)
        self._held: deque[_Step] = deque()
        self._buffer = io.BytesIO()
        self._content: ContentWriter | None = None
        self._node, self._cluster = NodeState(), Cluster()
        self._texts: dict[int, str] = {}
        self._interfaces: dict[int, str] = {}
        self._findings: deque[tuple[Finding, int]] = deque()
        self._commented: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        """By row: id of the flow whose comment is out."""
        self._problem: Problem | None = None
        self.failed = False
        """It stopped because it could not write, not because that was asked for."""
        self._come_ns = 0
        self._unwritten = 0
        """Records encoded and not yet handed to the system."""
        self.missed = 0
        """Records and packets that came after the recording had ended."""

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self._files.path

    @property
    def total_bytes(self) -> int:
        """Bytes written so far, to all files."""
        return self._files.total_bytes

    def start(self) -> None:
        """Begin the first file; InputError if it cannot be written."""
        try:
            self._begin_file(0)
        except OSError as error:
            raise InputError(
                f"Cannot record to {self._files.path}.",
                error.strerror or str(error),
                "Name a file in a folder that exists and can be written to.",
            ) from error

    def problems(self) -> list[Problem]:
        """Why the recording ended early."""
        if self._problem is None:
            return []
        missed = f"{self._problem.why}; {self.missed} records after that are not in it"
        return [replace(self._problem, why=missed)]

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Take a step; write those that have been held long enough."""
        if self._problem is not None:
            self.missed += len(update.batch.records)
            return
        if not self._privacy.anonymizes:
            waiting = [(finding, pipeline.now_ns) for finding in update.opened]
            self._findings.extend(waiting[: _MAX_WAITING_FINDINGS - len(self._findings)])
        if update.took is not None:
            self._come_ns = max(self._come_ns, pipeline.now_ns, update.batch.until_ns)
            self._held.append(_Step(update.took, pipeline.now_ns, self._come_ns))
        until_ns = self._come_ns - HOLD_NS
        try:
            self._write_held(pipeline, until_ns if update.took is not None else None)
        except OSError as error:
            self.failed = True
            self._stop(error.strerror or str(error), "free space or name another disk")

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Close the file."""
        self._files.close()

    def _write_held(self, pipeline: Pipeline, until_ns: int | None) -> None:
        """Write what is as old as ``until_ns``, or everything."""
        now_ns = self._held[-1].now_ns if self._held else 0
        while self._held and (
            until_ns is None or self._held[0].come_ns <= until_ns or len(self._held) > _MAX_HELD
        ):
            step = self._held.popleft()
            if self._content is None or self._files.is_due(step.now_ns):
                self._begin(pipeline, step.now_ns)
            self._unwritten += _size(step.took)
            last = until_ns is None and not self._held
            self._encode(pipeline, step, last)
        self._hand_over(now_ns)

    def _hand_over(self, now_ns: int) -> None:
        if self._content is not None:
            self._content.flush()
        data = self._buffer.getvalue()
        if not data:
            return
        self._buffer.seek(0)
        self._buffer.truncate()
        if not self._files.has_room(len(data)):
            self._stop("it has reached the size allowed", "allow more with --max-size")
            return
        self._files.write(data, now_ns)
        self._unwritten = 0

    def _begin(self, pipeline: Pipeline, now_ns: int) -> None:
        """The next file, which tells again what it needs of those before it."""
        self._hand_over(now_ns)
        self._begin_file(now_ns)
        if self._files.part > 1:
            self._tell_again(pipeline, now_ns)

    def _begin_file(self, now_ns: int) -> None:
        self._files.begin(now_ns)
        header = replace(self._header(), run=self._run, part=self._files.part)
        header = replace(header, node=self._privacy.name(header.node))
        header = replace(header, anonymized=header.anonymized or self._privacy.anonymizes)
        self._content = ContentWriter(CaptureWriter(self._buffer, header.writer), header)
        self._content.know(self._interfaces)
        self._hand_over(now_ns)

    def _tell_again(self, pipeline: Pipeline, now_ns: int) -> None:
        assert self._content is not None, "a file has begun"
        self._content.node(self._node, now_ns)
        self._content.cluster(self._cluster, now_ns)
        self._content.names(names_of(self._cluster, self._node))
        rows = pipeline.table.alive()
        rows = rows[self._is_chosen(pipeline, rows)]
        known = restated(pipeline.table.flows, rows, now_ns)
        batch = EventBatch(known, Origin.CONNTRACK, now_ns, interfaces=self._interfaces)
        hidden = self._privacy.batch(batch)
        self._content.batch(replace(hidden, texts=self._texts), restated=True)

    def _encode(self, pipeline: Pipeline, step: _Step, last: bool) -> None:
        assert self._content is not None, "a file has begun"
        if isinstance(step.took, EventBatch):
            self._encode_batch(pipeline, step, step.took, last)
            return
        if isinstance(step.took, NodeState):
            self._node = self._privacy.node(step.took)
            self._content.node(self._node, step.now_ns)
        else:
            self._cluster = self._privacy.cluster(step.took)
            self._content.cluster(self._cluster, step.now_ns)
        self._content.names(names_of(self._cluster, self._node))

    def _encode_batch(self, pipeline: Pipeline, step: _Step, batch: EventBatch, last: bool) -> None:
        assert self._content is not None, "a file has begun"
        batch = self._of_chosen_flows(pipeline, batch)
        comments: dict[int, str] = {}
        if batch.packets is not None and len(batch.records):
            comments = self._translations(pipeline, batch)
            for row, text in self._findings_on(batch, step.now_ns, last):
                comments[row] = f"{comments[row]}\n{text}" if row in comments else text
        hidden = self._privacy.batch(_without_conclusions(batch))
        self._texts.update(hidden.texts)
        self._interfaces.update(hidden.interfaces)
        if hidden.packets is None:
            self._content.journal(lines(hidden.records, lambda n: self._texts.get(n, "")))
        self._content.batch(hidden, comments)

    def _of_chosen_flows(self, pipeline: Pipeline, batch: EventBatch) -> EventBatch:
        """The records, with their packets, that belong to a flow asked for."""
        if self._chosen is None or not len(batch.records):
            return batch
        rows = pipeline.table.find(batch.records)
        kept = np.flatnonzero(rows >= 0)
        kept = kept[self._is_chosen(pipeline, rows[kept])]
        if kept.size == len(rows):
            return batch
        packets = batch.packets
        if packets is not None:
            packets = Spans.of(packets).rows(kept).packed()
        return replace(batch, records=picked(batch.records, kept), packets=packets)

    def _is_chosen(self, pipeline: Pipeline, rows: Rows) -> npt.NDArray[np.bool_]:
        if self._chosen is None or not rows.size:
            return np.ones(rows.size, dtype=np.bool_)
        flows, naming = Gathered(pipeline.table.flows, rows), naming_of(pipeline)
        return self._chosen.mask(flows, naming, flows_by_cause(flows, naming))

    def _translations(self, pipeline: Pipeline, batch: EventBatch) -> dict[int, str]:
        """Row of the first packet of each flow not yet commented, and its comment."""
        flows = pipeline.table.flows
        rows = pipeline.table.find(batch.records)
        self._reserve(len(flows))
        places = np.flatnonzero(rows >= 0)
        found, first = np.unique(rows[places], return_index=True)
        new = translated(Gathered(flows, found))
        new &= self._commented[found] != flows["id"][found]
        found, first = found[new][:_MAX_COMMENTS], first[new][:_MAX_COMMENTS]
        if not found.size:
            return {}
        self._commented[found] = flows["id"][found]
        shown, naming = self._privacy.shown(flows[found], naming_of(pipeline))
        texts = translations(shown, naming)
        return dict(zip(places[first].tolist(), texts, strict=True))

    def _findings_on(self, batch: EventBatch, now_ns: int, last: bool) -> list[tuple[int, str]]:
        """Waiting findings whose flow has a packet here, and those that will wait no longer."""
        placed: list[tuple[int, str]] = []
        waiting: deque[tuple[Finding, int]] = deque()
        for finding, since_ns in self._findings:
            flow = finding.subject.flow
            row = packet_of(flow, batch.records) if flow is not None else 0
            if row is None and (last or now_ns - since_ns >= _FINDING_WAITS_NS):
                row = 0
            if row is None:
                waiting.append((finding, since_ns))
            else:
                placed.append((row, finding_text(finding)))
        self._findings = waiting
        return placed

    def _reserve(self, capacity: int) -> None:
        if capacity > len(self._commented):
            grown = np.zeros(capacity, dtype=np.uint64)
            grown[: len(self._commented)] = self._commented
            self._commented = grown

    def _stop(self, why: str, remedy: str) -> None:
        self._problem = Problem(f"recording to {self._files.path} has stopped", why, remedy)
        self.missed += self._unwritten + sum(_size(step.took) for step in self._held)
        self._held.clear()
        self._files.close()
        if self._on_stop is not None:
            self._on_stop(self._problem)


def _size(took: State) -> int:
    """Records and packets in it."""
    return len(took.records) if isinstance(took, EventBatch) else 0


def _without_conclusions(batch: EventBatch) -> EventBatch:
    """Pairs were found by this program: a replay finds them anew."""
    paired = batch.records["hook"] == Hook.PAIRED
    if not paired.any():
        return batch
    records = no_records() if paired.all() else batch.records[~paired]
    return replace(batch, records=records)
