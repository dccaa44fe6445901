"""The sink behind the metrics: columns of counts by Service, bounded whatever the cluster holds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracer.cells import Hit
from tracer.cluster.model import KIND_NAMES
from tracer.diagnosis.finding import Finding
from tracer.events import Hook, Loss
from tracer.flow import Flows, Rows, Seen, State
from tracer.pipeline import Pipeline, Update

PUBLISH_S = 1.0
MAX_SERVICES = 2000
"""Service addresses with series of their own; further ones are counted together."""
MAX_FINDINGS = 1000
MAX_REASONS = 200
OTHER = "(other)"
BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 3.0, 10.0)
"""Upper ends of the time to an answer: 1 and 3 s are where a SYN is repeated."""
OUTCOMES = ("answered", "refused", "lost")

_COUNTED, _TIMED = 0x10, 0x20
_OUTCOME = np.zeros(256, dtype=np.uint8)
"""By state: the bit of its outcome; 0 while it is open."""
_OUTCOME[[State.ANSWERED, State.ESTABLISHED, State.CLOSING, State.CLOSED]] = 1
_OUTCOME[State.REFUSED], _OUTCOME[State.LOST] = 2, 4
_ENGINES = 4
_UNNAMED = ("", "", "", "")

ServiceLabels = tuple[str, str, str, str]
"""Namespace, Service, port name, kind of address."""
FindingLabels = tuple[str, str, str, str]
"""Cause, severity, namespace, Service."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is told, at one moment; nothing in it changes any more."""

    services: tuple[ServiceLabels, ...] = ()
    """Labels of the rows below; the first is traffic of no Service."""
    translations: tuple[tuple[int, ...], ...] = ()
    """By Service, then by engine."""
    outcomes: tuple[tuple[int, ...], ...] = ()
    """By Service, then as in ``OUTCOMES``."""
    waits: tuple[tuple[int, ...], ...] = ()
    """By Service: answers within each bucket, the last beyond them all."""
    wait_sums_s: tuple[float, ...] = ()
    findings_open: Mapping[FindingLabels, int] = field(default_factory=dict)
    findings_total: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By cause and severity."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """By the kernel's reason."""
    lost: Loss = Loss()
    packets: int = 0
    events: int = 0
    damaged: int = 0
    flows: int = 0
    evicted: int = 0
    degraded: int = 0
    backend: str = ""
    node: str = ""


class MetricsSink:
    """Counts what updates tell; ``figures`` may be read by any thread."""

    def __init__(
        self,
        backend: Callable[[], str] = str,
        degraded: Callable[[], int] = int,
        clock: Callable[[], float] = time.monotonic,
        max_services: int = MAX_SERVICES,
    ) -> None:
        self.figures = Figures()
        """The latest; replaced whole."""
        self._backend, self._degraded, self._clock = backend, degraded, clock
        self._max_services = max_services
        self._labels: list[ServiceLabels] = [_UNNAMED]
        self._slots: npt.NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        """By service number plus one: the row of its counts, -1 none yet."""
        rows = max_services + 2
        self._translations = np.zeros((rows, _ENGINES), dtype=np.int64)
        self._outcomes = np.zeros((rows, len(OUTCOMES)), dtype=np.int64)
        self._waits = np.zeros((rows, len(BUCKETS_S) + 1), dtype=np.int64)
        self._wait_sums = np.zeros(rows)
        self._ids: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        """By flow row: id of the flow that ``_told`` is about."""
        self._told: npt.NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
        self._findings: Counter[tuple[str, str]] = Counter()
        self._drops: Counter[str] = Counter()
        self._published = float("-inf")

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Count what is new; hand out the figures when it is time."""
        self._count_flows(pipeline, update.changed)
        self._count_drops(pipeline, update)
        for finding in update.opened:
            self._findings[finding.cause, finding.severity.label] += 1
        if self._clock() >= self._published + PUBLISH_S:
            self._publish(pipeline)

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """The last figures."""
        self._publish(pipeline)

    def _count_flows(self, pipeline: Pipeline, changed: Rows) -> None:
        flows = pipeline.table.flows
        seen = flows["seen"][changed]
        wanted = (seen & np.uint32(Seen.TRANSLATED)) != 0
        # What began before the trace is no news: its start and its wait are unknown.
        wanted &= (seen & np.uint32(Seen.EXISTING)) == 0
        rows = changed[wanted]
        if not rows.size:
            return
        told = self._told_of(flows, rows)
        slots = self._slots_of(flows["service"][rows], pipeline.enricher.hit)
        fresh = (told & _COUNTED) == 0
        # Known by its end alone: it had been forgotten to make room, and was counted then.
        fresh &= (flows["ended_ns"][rows] == 0) | (
            flows["first_ns"][rows] < flows["ended_ns"][rows]
        )
        np.add.at(self._translations, (slots[fresh], flows["engine"][rows[fresh]]), 1)
        told |= _COUNTED
        outcome = _OUTCOME[flows["state"][rows]]
        for place in range(len(OUTCOMES)):
            bit = np.uint8(1 << place)
            reached = ((outcome & bit) != 0) & ((told & bit) == 0)
            np.add.at(self._outcomes, (slots[reached], place), 1)
        told |= outcome
        self._count_waits(flows, rows, slots, told)
        self._told[rows] = told

    def _count_waits(
        self,
        flows: Flows,
        rows: Rows,
        slots: npt.NDArray[np.int64],
        told: npt.NDArray[np.uint8],
    ) -> None:
        asked, answered = flows["request_ns"][rows], flows["answer_ns"][rows]
        timed = (asked > 0) & (answered >= asked) & ((told & _TIMED) == 0)
        waits_s = (answered[timed] - asked[timed]) / 1e9
        bucket = np.searchsorted(BUCKETS_S, waits_s, side="left")
        np.add.at(self._waits, (slots[timed], bucket), 1)
        np.add.at(self._wait_sums, slots[timed], waits_s)
        told[timed] |= _TIMED

    def _told_of(self, flows: Flows, rows: Rows) -> npt.NDArray[np.uint8]:
        """What has been counted of these flows; a row that is used again begins anew."""
        if len(flows) > len(self._ids):
            more = len(flows) - len(self._ids)
            self._ids = np.concatenate([self._ids, np.zeros(more, dtype=np.uint64)])
            self._told = np.concatenate([self._told, np.zeros(more, dtype=np.uint8)])
        ids = flows["id"][rows]
        told: npt.NDArray[np.uint8] = np.where(self._ids[rows] == ids, self._told[rows], 0)
        self._ids[rows] = ids
        return told.astype(np.uint8)

    def _slots_of(
        self, services: npt.NDArray[np.int32], hit: Callable[[int], Hit | None]
    ) -> npt.NDArray[np.int64]:
        """Row of counts of each flow; the loop runs over Services seen for the first time."""
        places = services.astype(np.int64) + 1
        most = int(places.max())
        if most >= len(self._slots):
            grown = np.full(2 * most + 1, -1, dtype=np.int64)
            grown[: len(self._slots)] = self._slots
            self._slots = grown
        for place in np.unique(places[self._slots[places] < 0]).tolist():
            self._slots[place] = self._new_slot(hit(place - 1))
        found: npt.NDArray[np.int64] = self._slots[places]
        return found

    def _new_slot(self, hit: Hit | None) -> int:
        if hit is None:
            return 0
        if len(self._labels) > self._max_services:
            if len(self._labels) == self._max_services + 1:
                self._labels.append((OTHER, OTHER, OTHER, OTHER))
            return self._max_services + 1
        self._labels.append((hit.namespace, hit.name, hit.port_name, KIND_NAMES[hit.kind]))
        return len(self._labels) - 1

    def _count_drops(self, pipeline: Pipeline, update: Update) -> None:
        records = update.batch.records
        if not len(records):
            return
        reasons = records["reason"][records["hook"] == Hook.DROP]
        for number, count in zip(*np.unique(reasons, return_counts=True), strict=True):
            name = pipeline.texts.text(int(number)) or "unknown"
            known = name in self._drops or len(self._drops) < MAX_REASONS
            self._drops[name if known else OTHER] += int(count)

    def _publish(self, pipeline: Pipeline) -> None:
        self._published = self._clock()
        used = len(self._labels)
        self.figures = Figures(
            services=tuple(self._labels),
            translations=_frozen(self._translations[:used]),
            outcomes=_frozen(self._outcomes[:used]),
            waits=_frozen(self._waits[:used]),
            wait_sums_s=tuple(self._wait_sums[:used].tolist()),
            findings_open=_by_labels(pipeline.findings.open()),
            findings_total=dict(self._findings),
            drops=dict(self._drops),
            lost=pipeline.lost,
            packets=pipeline.packets,
            events=pipeline.events,
            damaged=pipeline.damaged,
            flows=len(pipeline.table),
            evicted=pipeline.table.evicted,
            degraded=self._degraded(),
            backend=self._backend(),
            node=pipeline.node.node_name,
        )


def _frozen(counts: npt.NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, counts.tolist()))


def _by_labels(findings: list[Finding]) -> dict[FindingLabels, int]:
    """Open findings by cause, severity and Service; beyond the bound without the Service."""
    counts: Counter[FindingLabels] = Counter()
    for finding in findings:
        namespace, _, name = (finding.subject.service or "").partition("/")
        labels = (finding.cause, finding.severity.label, namespace, name)
        if labels not in counts and len(counts) >= MAX_FINDINGS:
            labels = (finding.cause, finding.severity.label, OTHER, OTHER)
        counts[labels] += 1
    return dict(counts)
