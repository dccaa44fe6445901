"""Answers the questions of a screen, on the thread that owns the pipeline."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from tracer.cells import Naming, flows_by_cause, translated
from tracer.detail import Step, detail_of
from tracer.diagnosis.finding import Finding, Severity
from tracer.diagnosis.ledger import ranked
from tracer.errors import InputError
from tracer.events import Records
from tracer.filters import Filter, parse
from tracer.lag import lags
from tracer.naming import naming_of
from tracer.pipeline import Pipeline, Update
from tracer.view.event_sheet import event_sheet
from tracer.view.fetched import Fetched
from tracer.view.finding_filter import passing
from tracer.view.flow_sheet import flow_sheet
from tracer.view.groups import GroupPage
from tracer.view.journey import journey, with_rules
from tracer.view.node_sheet import NodePage
from tracer.view.packet_sheet import FILTERED, packet_sheet
from tracer.view.packet_store import PacketStore
from tracer.view.past import Closings, flows_at
from tracer.view.query import Page, Snapshot, ViewQuery
from tracer.view.rules_passed import RulesPassed
from tracer.view.service_sheet import ServicePage
from tracer.view.tape import Tape, marks_of
from tracer.view.timeline import Timeline
from tracer.view.touching import touched
from tracer.view.trends import TrendKeeper
from tracer.view.vocabulary import names_seen

OPEN_SHOWN, CLOSED_SHOWN = 200, 50
"""Findings kept on the screen; all are counted."""
_RATE_WINDOW_NS = 1_000_000_000


class View:
    """Answers queries; remembers what was frozen, and what the table of flows does not keep."""

    def __init__(self) -> None:
        self.timeline, self.packets = Timeline(), PacketStore()
        self._frozen: npt.NDArray[np.void] | None = None
        self._frozen_ns = 0
        self._past: npt.NDArray[np.void] | None = None
        """The flows of a moment that is over."""
        self._past_ns = 0
        self._closings = Closings()
        self._fetched: tuple[Fetched, Fetched] | None = None
        """All living rows and those translated, for one answer."""
        self._marks: list[tuple[int, int, int]] = []
        """(now, events, packets) of past answers, the newest last."""
        self._trends = TrendKeeper()
        self._service_page, self._node_page = ServicePage(), NodePage()
        self._groups = GroupPage()
        self._rules = RulesPassed()
        self._filter: tuple[str, Filter | None, str] = ("", None, "")

    def observe(self, pipeline: Pipeline, update: Update) -> None:
        """Take one step of the pipeline; only called while a screen looks."""
        self.timeline.observe(pipeline, update)
        self.packets.observe(update.batch)
        self._closings.note(update.closed, pipeline.now_ns)

    def answer(
        self,
        pipeline: Pipeline,
        query: ViewQuery,
        backend: str = "",
        degraded: tuple[str, ...] = (),
    ) -> Snapshot:
        """The snapshot for a query; ``backend`` and ``degraded`` are what the session knows."""
        self._fetched = None
        naming = naming_of(pipeline)
        base = self._status(pipeline, query, backend, degraded)
        if query.page is Page.BLACKHOLES:
            return self._blackholes(pipeline, query, naming, base)
        if query.page is Page.CHECK:
            return base
        if query.page is Page.NODE:
            sheet, detail = self._node_page.sheet(pipeline.cluster, pipeline.node, query)
            return replace(base, sheet=sheet, detail=detail)
        if query.page is Page.SERVICES:
            return self._services(pipeline, query, naming, base)
        if query.page in (Page.EVENTS, Page.PACKETS):
            return self._happened(pipeline, query, naming, base)
        return self._flows(pipeline, query, naming, base)

    def _blackholes(
        self, pipeline: Pipeline, query: ViewQuery, naming: Naming, base: Snapshot
    ) -> Snapshot:
        """Findings only, as far as they pass."""
        chosen, error = self._compiled(query.filter)
        if chosen is None:
            return replace(base, error=error)
        every = self._alive(pipeline, translated_only=False)
        found, closed = self._found(pipeline, query.at_ns)
        return replace(
            base,
            open=tuple(passing(found, chosen, every, naming)[:OPEN_SHOWN]),
            closed=tuple(passing(closed, chosen, every, naming)[-CLOSED_SHOWN:]),
            missing="No finding passes the filter.",
        )

    def _status(
        self, pipeline: Pipeline, query: ViewQuery, backend: str, degraded: tuple[str, ...]
    ) -> Snapshot:
        event_rate, packet_rate = self._rates(pipeline)
        found, closed = self._found(pipeline, query.at_ns)
        now_ns = query.at_ns or pipeline.now_ns
        return Snapshot(
            query,
            now_ns=now_ns,
            open=tuple(found[:OPEN_SHOWN]),
            open_count=len(found),
            critical_count=sum(finding.severity == Severity.CRITICAL for finding in found),
            closed=tuple(closed[-CLOSED_SHOWN:]),
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
            names=names_seen(pipeline) if query.names else {},
            trends=self._trends.trends(
                lambda: self._alive(pipeline, translated_only=True), now_ns, pipeline.started_ns
            ),
            tape=self._tape(pipeline, query.at_ns),
        )

    def _found(self, pipeline: Pipeline, at_ns: int) -> tuple[list[Finding], list[Finding]]:
        """Findings that are open and those that are closed, or were at that moment."""
        now, over = pipeline.findings.open(), pipeline.findings.closed()
        if not at_ns:
            return now, over
        known = [finding for finding in (*over, *now) if finding.since_ns <= at_ns]
        opened: list[Finding] = []
        over = []
        for finding in known:
            was_open = self._closings.open_at(finding, at_ns)
            (opened if was_open else over).append(replace(finding, open=was_open))
        return ranked(opened), over

    def _tape(self, pipeline: Pipeline, at_ns: int) -> Tape:
        """The time that can be looked back to, and what was found in it."""
        findings = pipeline.findings.closed()[-CLOSED_SHOWN:] + pipeline.findings.open()
        return Tape(
            self.timeline.oldest_ns(pipeline.started_ns),
            pipeline.now_ns,
            at_ns or pipeline.now_ns,
            playing=not at_ns,
            marks=marks_of(findings[-OPEN_SHOWN:]),
        )

    def _flows(
        self, pipeline: Pipeline, query: ViewQuery, naming: Naming, base: Snapshot
    ) -> Snapshot:
        """The page of translations, listed or counted."""
        asked, naming, total, error = self._asked(pipeline, query, naming)
        if query.group:
            sheet = self._groups.sheet(asked, naming, pipeline, query)
        else:
            sheet = flow_sheet(asked, naming, query)
        flow = _selected(asked, query.selected)
        detail = detail_of(flow, naming, base.open + base.closed)
        if detail is not None:
            detail = replace(detail, path=self._journey(flow, naming, pipeline, query.at_ns))
        missing = "No flow passes the filter." if total else "No translated flow so far."
        return replace(base, sheet=sheet, total=total, detail=detail, error=error, missing=missing)

    def _journey(
        self, flow: npt.NDArray[np.void], naming: Naming, pipeline: Pipeline, at_ns: int
    ) -> tuple[Step, ...]:
        """The way of one flow up to a moment, as far as packets and records of it are kept."""
        newest = self.packets.newest_at(at_ns) if at_ns else self.packets.newest
        packets = self.packets.of_flow(flow, newest)
        records, _ = self.timeline.records()
        own = records[touched(records, flow)]
        if at_ns:
            own = own[own["time_ns"] <= at_ns]
        steps = journey(flow, naming, packets, own, pipeline.interfaces)
        service = naming.hit(int(flow["service"][0])) if len(flow) else None
        key = f"{service.namespace}/{service.name}" if service else ""
        rules, lost = self._rules.told(flow, pipeline.node, pipeline.cluster, key)
        return with_rules(steps, rules, lost)

    def _services(
        self, pipeline: Pipeline, query: ViewQuery, naming: Naming, base: Snapshot
    ) -> Snapshot:
        """Virtual servers, with the load that translated flows put on them."""
        only_translated = replace(query, all_flows=False)
        asked, naming, total, error = self._asked(pipeline, only_translated, naming)
        known = pipeline.cluster, pipeline.node
        sheet, detail = self._service_page.sheet(
            asked, naming, known, pipeline.started_ns, query, base.open
        )
        if detail is not None and detail.service and pipeline.cluster.changes:
            detail = replace(detail, facts=(*detail.facts, *_lag(pipeline, detail.service)))
        return replace(base, sheet=sheet, detail=detail, total=total, error=error)

    def _happened(
        self, pipeline: Pipeline, query: ViewQuery, naming: Naming, base: Snapshot
    ) -> Snapshot:
        """Events or packets, of the selected flow if there is one."""
        selected = 0 if query.all_traffic else query.selected
        row = pipeline.table.row(selected) if selected else -1
        flow = pipeline.table.flows[np.array([row] if row >= 0 else [], dtype=np.intp)]
        interfaces = pipeline.interfaces
        chosen, error = self._compiled(query.filter)
        passes = partial(self._passes, pipeline, naming, chosen) if chosen else None
        if query.page is Page.EVENTS:
            sheet, detail = event_sheet(self.timeline, flow, naming, interfaces, query, passes)
            missing = "No event passes the filter." if passes else "Nothing has happened yet."
        else:
            sheet, detail = packet_sheet(self.packets, flow, interfaces, query, passes)
            missing = "No packets: none were captured" + (" of this flow." if len(flow) else ".")
            if passes and self.packets.newest and not len(flow):
                missing = f"None of the newest {FILTERED:,} packets passes the filter."
        about = detail_of(flow, naming, ())
        title = about.title if about else ""
        return replace(
            base, sheet=sheet, detail=detail, of_flow=title, missing=missing, error=error
        )

    def _passes(
        self, pipeline: Pipeline, naming: Naming, chosen: Filter, records: Records
    ) -> npt.NDArray[np.bool_]:
        """Which records are of flows that a filter lets through."""
        every = self._alive(pipeline, translated_only=False)
        wanted = np.zeros(len(pipeline.table.flows) + 1, dtype=np.bool_)
        wanted[every.rows] = chosen.mask(every, naming, flows_by_cause(every, naming))
        # A record of no flow is found at -1, which is the last place.
        found = pipeline.table.find(records) if len(records) else every.rows[:0]
        return np.asarray(wanted[found])

    def _asked(
        self, pipeline: Pipeline, query: ViewQuery, naming: Naming
    ) -> tuple[Fetched, Naming, int, str]:
        """Rows that pass, their meaning, rows before the filter, what is wrong with it."""
        if query.at_ns or query.frozen:
            held, now_ns = self._held(pipeline, query, naming)
            asked = Fetched(held, np.arange(len(held), dtype=np.intp))
            naming = replace(naming, now_ns=now_ns)
            if not query.all_flows:
                asked = asked.chosen(translated(asked))
        else:
            self._frozen = self._past = None
            asked = self._alive(pipeline, translated_only=not query.all_flows)
        total = len(asked)
        chosen, error = self._compiled(query.filter)
        if chosen is not None:
            asked = asked.chosen(chosen.mask(asked, naming, flows_by_cause(asked, naming)))
        return asked, naming, total, error

    def _alive(self, pipeline: Pipeline, *, translated_only: bool) -> Fetched:
        """The rows of the table as it stands."""
        if self._fetched is None:
            every = Fetched(pipeline.table.flows, pipeline.table.alive())
            self._fetched = every, every.chosen(translated(every))
        return self._fetched[translated_only]

    def _held(
        self, pipeline: Pipeline, query: ViewQuery, naming: Naming
    ) -> tuple[npt.NDArray[np.void], int]:
        """The rows of a moment that is over, or of that of freezing; made once for it."""
        if query.at_ns:
            if self._past is None or self._past_ns != query.at_ns:
                rows = pipeline.table.alive()
                self._past = flows_at(pipeline.table.flows, rows, query.at_ns)
                self._past_ns = query.at_ns
            return self._past, self._past_ns
        self._past = None
        if self._frozen is None:
            self._frozen = pipeline.table.flows[pipeline.table.alive()]
            self._frozen_ns = naming.now_ns
        return self._frozen, self._frozen_ns

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


def _lag(pipeline: Pipeline, service: str) -> tuple[tuple[str, str], ...]:
    """How long the kernel kept behind the API with this Service's endpoints."""
    table = pipeline.table
    changes = [change for change in pipeline.cluster.changes if change.service == service]
    found = lags(table.flows, table.translated(), pipeline.enricher, changes)
    return tuple(
        (
            f"Behind the API, {turn}",
            f"{part.measured[-1] / 1e6:.0f} ms at most, {part.changes} changes",
        )
        for lag in found
        for turn, part in (("joined", lag.joined), ("left", lag.left))
        if part.measured
    )


def _selected(asked: Fetched, selected: int) -> npt.NDArray[np.void]:
    """The selected row, if it is among these, as an array of one or none."""
    rows = asked.rows[np.flatnonzero(asked["id"] == selected)[:1]] if selected else asked.rows[:0]
    return asked.flows[rows]
