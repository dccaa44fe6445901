"""What a screen shows of a pipeline: a question as a value, the answer as texts.

The pipeline's thread answers between two batches, so nothing here is shared.
Work grows with the rows only in whole columns; texts are made for visible rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows, Gathered, Keys, Naming, flows_by_cause, translated
from tracer.columns import BY_NAME, SCREEN_COLUMNS
from tracer.detail import FlowDetail, detail_of
from tracer.diagnosis.finding import Finding, Severity
from tracer.errors import InputError
from tracer.events import Loss
from tracer.filters import Filter, parse
from tracer.naming import naming_of
from tracer.pipeline import Pipeline

OPEN_SHOWN, CLOSED_SHOWN = 200, 50
"""Findings kept on the screen; all are counted."""
_RATE_WINDOW_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ViewQuery:
    """What the screen wants to see."""

    filter: str = ""
    order: str = "age"
    """Name of a column that has an order."""
    descending: bool = False
    start: int = 0
    """First position of the window of rows wanted as text."""
    height: int = 50
    selected: int = 0
    """Id of the flow whose details are wanted; 0 none."""
    frozen: bool = False
    """Flows as they were when this was first asked; findings and rates stay live."""
    all_flows: bool = False
    """Flows that this node does not translate, too."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answer to one query at one moment."""

    query: ViewQuery
    now_ns: int = 0
    start: int = 0
    """Position of the first row below; smaller than asked for when rows went away."""
    ids: tuple[int, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()
    """For each row the texts of ``SCREEN_COLUMNS``."""
    states: tuple[int, ...] = ()
    matching: int = 0
    """Rows that pass the filter."""
    total: int = 0
    """Rows before the filter."""
    selected_at: int = -1
    """Position of the selected flow among the matching ones, -1 if not there."""
    detail: FlowDetail | None = None
    open: tuple[Finding, ...] = ()
    """The gravest ones, then the oldest."""
    open_count: int = 0
    critical_count: int = 0
    """Open findings of that severity."""
    closed: tuple[Finding, ...] = ()
    packets: int = 0
    events: int = 0
    damaged: int = 0
    lost: Loss = field(default_factory=Loss)
    packet_rate: float = 0.0
    """Packets per second of record time."""
    event_rate: float = 0.0
    node: str = ""
    proxy_mode: str = ""
    backend: str = ""
    degraded: tuple[str, ...] = ()
    error: str = ""
    """Why the filter could not be used; then every row is shown."""


class View:
    """Answers queries; remembers only what was frozen and the last counts."""

    def __init__(self) -> None:
        self._frozen: npt.NDArray[np.void] | None = None
        self._frozen_ns = 0
        self._marks: list[tuple[int, int, int]] = []
        """(now, events, packets) of past answers, the newest last."""
        self._filter: tuple[str, Filter | None, str] = ("", None, "")

    def answer(
        self,
        pipeline: Pipeline,
        query: ViewQuery,
        backend: str = "",
        degraded: tuple[str, ...] = (),
    ) -> Snapshot:
        """The snapshot for a query; ``backend`` and ``degraded`` are what the session knows."""
        naming = naming_of(pipeline)
        base = self._status(pipeline, query, backend, degraded)
        return self._flows(pipeline, query, naming, base)

    def _status(
        self, pipeline: Pipeline, query: ViewQuery, backend: str, degraded: tuple[str, ...]
    ) -> Snapshot:
        event_rate, packet_rate = self._rates(pipeline)
        found = pipeline.findings.open()
        return Snapshot(
            query,
            now_ns=pipeline.now_ns,
            open=tuple(found[:OPEN_SHOWN]),
            open_count=len(found),
            critical_count=sum(finding.severity == Severity.CRITICAL for finding in found),
            closed=tuple(pipeline.findings.closed()[-CLOSED_SHOWN:]),
            packets=pipeline.packets,
            events=pipeline.events,
            damaged=pipeline.damaged,
            lost=pipeline.lost,
            packet_rate=packet_rate,
            event_rate=event_rate,
            node=pipeline.node.node_name,
            proxy_mode=pipeline.node.proxy_mode,
            backend=backend,
            degraded=degraded,
        )

    def _flows(
        self, pipeline: Pipeline, query: ViewQuery, naming: Naming, base: Snapshot
    ) -> Snapshot:
        flows, rows, naming = self._rows(pipeline, query.frozen, naming)
        if not query.all_flows:
            rows = rows[translated(Gathered(flows, rows))]
        total = len(rows)
        chosen, error = self._compiled(query.filter)
        if chosen is not None:
            asked = Gathered(flows, rows)
            rows = rows[chosen.mask(asked, naming, flows_by_cause(asked, naming))]
        window = _window(Gathered(flows, rows), naming, query)
        shown = flows[rows[window.places]]
        texts = [column.text(shown, naming) for column in SCREEN_COLUMNS if column.text]
        return replace(
            base,
            start=window.start,
            ids=tuple(shown["id"].tolist()),
            cells=tuple(zip(*texts, strict=True)),
            states=tuple(shown["state"].tolist()),
            matching=len(rows),
            total=total,
            selected_at=window.selected_at,
            detail=detail_of(_selected(flows, query.selected), naming, base.open + base.closed),
            error=error,
        )

    def _rows(
        self, pipeline: Pipeline, frozen: bool, naming: Naming
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.intp], Naming]:
        """The table and its rows: the living ones, or those of the moment of freezing."""
        if not frozen:
            self._frozen = None
            return pipeline.table.flows, pipeline.table.alive(), naming
        if self._frozen is None:
            self._frozen = pipeline.table.flows[pipeline.table.alive()]
            self._frozen_ns = naming.now_ns
        rows = np.arange(len(self._frozen), dtype=np.intp)
        return self._frozen, rows, replace(naming, now_ns=self._frozen_ns)

    def _compiled(self, text: str) -> tuple[Filter | None, str]:
        if self._filter[0] != text:
            try:
                self._filter = (text, parse(text) if text.strip() else None, "")
            except InputError as error:
                self._filter = (text, None, str(error))
        return self._filter[1], self._filter[2]

    def _rates(self, pipeline: Pipeline) -> tuple[float, float]:
        """Events and packets per second of record time, over the last second or more."""
        now = (pipeline.now_ns, pipeline.events, pipeline.packets)
        while len(self._marks) > 1 and now[0] - self._marks[1][0] >= _RATE_WINDOW_NS:
            self._marks.pop(0)
        if not self._marks or now[0] > self._marks[-1][0]:
            self._marks.append(now)
        first = self._marks[0]
        span_s = (now[0] - first[0]) / 1e9
        return ((now[1] - first[1]) / span_s, (now[2] - first[2]) / span_s) if span_s else (0, 0)


@dataclass(frozen=True, slots=True)
class _Window:
    start: int
    places: npt.NDArray[np.intp]
    """Index of each wanted row, in order."""
    selected_at: int


def _window(flows: Flows, naming: Naming, query: ViewQuery) -> _Window:
    """The wanted stretch of the rows in order; equal keys stand by age, as the ids do."""
    keys, by_age = _keys(flows, naming, query)
    count = len(keys)
    start = min(query.start, max(count - query.height, 0))
    stop = min(start + query.height, count)
    candidates = np.arange(count)
    if stop < count // 4:
        # Far cheaper than sorting all: only what can be among the first ``stop``.
        bound = np.partition(keys, stop)[stop]
        candidates = np.flatnonzero(keys <= bound)
    order = candidates[np.argsort(keys[candidates], kind="stable")][start:stop]
    return _Window(start, by_age[order], _place(flows, keys, by_age, query.selected))


def _keys(flows: Flows, naming: Naming, query: ViewQuery) -> tuple[Keys, npt.NDArray[np.intp]]:
    """Keys to sort ascending, and the row each belongs to; rows are arranged by id."""
    by_age = np.argsort(flows["id"])
    order = BY_NAME[query.order].key
    keys = order(flows, naming)[by_age] if order else by_age
    return (~keys[::-1], by_age[::-1]) if query.descending else (keys, by_age)


def _place(flows: Flows, keys: Keys, by_age: npt.NDArray[np.intp], selected: int) -> int:
    at = np.flatnonzero(flows["id"][by_age] == selected) if selected else np.zeros(0, np.intp)
    if not at.size:
        return -1
    key = keys[at[0]]
    return int((keys < key).sum() + (keys[: at[0]] == key).sum())


def _selected(flows: npt.NDArray[np.void], selected: int) -> npt.NDArray[np.void]:
    """The selected row, as an array of one or none."""
    return flows[np.flatnonzero(flows["id"] == selected)[:1]] if selected else flows[:0]
