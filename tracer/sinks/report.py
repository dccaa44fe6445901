"""The incident report: what a run has found, collected while it goes on, written at the end.

Memory is bounded: of packets only the latest are kept, of everything else the first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tracer import address, cells
from tracer.cells import Gathered, Naming, translated
from tracer.clock import rfc3339
from tracer.columns import BY_NAME
from tracer.diagnosis.finding import Finding
from tracer.errors import InputError
from tracer.events import EventRows, Hook, TcpFlag, stacked
from tracer.flow import Rows, Seen, State
from tracer.naming import naming_of
from tracer.pipeline import Pipeline, Update
from tracer.plain import harmless
from tracer.sinks.due import Table

MAX_MOMENTS, MAX_LOST, MAX_SERVICES, MAX_LINES = 300, 10, 30, 14
_KEPT_PACKETS = 200_000
_BAD = (State.REFUSED, State.LOST)
_LETTERS = {
    TcpFlag.SYN: "S",
    TcpFlag.FIN: "F",
    TcpFlag.RST: "R",
    TcpFlag.PSH: "P",
    TcpFlag.ACK: ".",
}
_SIDES = (("client", "virtual"), ("source", "backend"))


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline."""

    time_ns: int
    what: str
    grave: bool = False


@dataclass(frozen=True, slots=True)
class Station:
    """One stop on the path of a flow."""

    role: str
    endpoint: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class LostFlow:
    """A flow that did not succeed, its path as far as it is known, and its packets."""

    title: str
    state: str
    cause: str
    stations: tuple[Station, ...]
    broken_after: int
    """Number of the station behind which it went wrong."""
    why: str
    packets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """The translations of one Service."""

    service: str
    flows: int
    bad: int
    backends: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report shows; texts are harmless, not yet escaped for any markup."""

    title: str
    summary: dict[str, object]
    began_ns: int
    ended_ns: int
    timeline: tuple[Moment, ...]
    left_out: int
    """Moments beyond the first ones."""
    findings: tuple[Finding, ...]
    services: tuple[ServiceLine, ...]
    lost: tuple[LostFlow, ...]
    lost_total: int


@dataclass
class ReportSink:
    """Collects, and writes ``path`` at the end as ``render`` says."""

    path: Path
    title: str
    render: Callable[[Report], str]
    _moments: list[Moment] = field(default_factory=list)
    _left_out: int = 0
    _recent: deque[EventRows] = field(default_factory=deque)
    _count: int = 0

    def start(self) -> None:
        """InputError if the file cannot be written."""
        self._store("")

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Keep what a report may want of a step."""
        for finding in update.opened:
            self._note(finding.since_ns or pipeline.now_ns, "opened", finding)
        for finding in update.closed:
            self._note(finding.last_ns or pipeline.now_ns, "closed", finding)
        packets = update.batch.records[update.batch.records["hook"] == Hook.PACKET]
        if len(packets):
            self._recent.append(packets)
            self._count += len(packets)
            while self._count - len(self._recent[0]) > _KEPT_PACKETS:
                self._count -= len(self._recent.popleft())

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Write the report."""
        flows, naming = pipeline.table.flows, naming_of(pipeline)
        alive = pipeline.table.alive()
        bad = alive[np.isin(flows["state"][alive], _BAD)]
        report = Report(
            title=harmless(self.title),
            summary=summary,
            began_ns=pipeline.started_ns,
            ended_ns=pipeline.now_ns,
            timeline=tuple(sorted(self._moments, key=lambda moment: moment.time_ns)),
            left_out=self._left_out,
            findings=tuple(pipeline.findings.open() + pipeline.findings.closed()),
            services=_services(flows, alive, naming),
            lost=self._lost(flows, bad, naming, pipeline.interfaces),
            lost_total=len(bad),
        )
        self._store(self.render(report))

    def _note(self, time_ns: int, what: str, finding: Finding) -> None:
        if len(self._moments) >= MAX_MOMENTS:
            self._left_out += 1
            return
        text = harmless(f"{finding.cause} {what}: {finding.summary}")
        self._moments.append(Moment(time_ns, text, what == "opened"))

    def _lost(
        self, flows: Table, rows: Rows, naming: Naming, interfaces: dict[int, str]
    ) -> tuple[LostFlow, ...]:
        """The first flow of each cause and Service, then others."""
        rows = rows[np.argsort(flows["first_ns"][rows], kind="stable")]
        kind = np.column_stack((flows["explained"][rows], flows["service"][rows]))
        _, first = np.unique(kind, axis=0, return_index=True)
        chosen = list(dict.fromkeys([*rows[np.sort(first)].tolist(), *rows.tolist()]))[:MAX_LOST]
        packets = stacked(list(self._recent))
        return tuple(
            _lost_flow(flows[np.array([row])], naming, packets, interfaces) for row in chosen
        )

    def _store(self, text: str) -> None:
        try:
            self.path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise InputError(
                f"Cannot write the report {self.path}.",
                error.strerror or "",
                "Name a file in a folder that exists and can be written to.",
            ) from error


def _services(flows: Table, alive: Rows, naming: Naming) -> tuple[ServiceLine, ...]:
    rows = alive[translated(Gathered(flows, alive))]
    lines = []
    numbers, counts = np.unique(flows["service"][rows], return_counts=True)
    for place in np.argsort(-counts, kind="stable")[:MAX_SERVICES].tolist():
        mine = rows[flows["service"][rows] == numbers[place]]
        shown = Gathered(flows, mine)
        endpoints = zip(
            _text("backend", shown, naming), _text("backend_name", shown, naming), strict=True
        )
        backends = Counter(name or where for where, name in endpoints)
        service = cells.service_text(naming.hit(int(numbers[place])))
        bad = int(np.isin(flows["state"][mine], _BAD).sum())
        line = ServiceLine(
            service or "(no Service)", len(mine), bad, tuple(backends.most_common(5))
        )
        lines.append(line)
    return tuple(lines)


def _text(name: str, flows: cells.Flows, naming: Naming) -> list[str]:
    column = BY_NAME[name]
    return column.text(flows, naming) if column.text else []


def _lost_flow(
    flow: Table, naming: Naming, packets: EventRows, interfaces: dict[int, str]
) -> LostFlow:
    cell = {name: c.text(flow, naming)[0] for name, c in BY_NAME.items() if c.text}
    service = f"{cell['service']} {cell['kind']}".strip()
    stations = [Station("client", cell["client"], cell["client_name"])]
    stations.append(Station("asked for", cell["virtual"], service))
    if cell["backend"]:
        engine = cell["engine"] if cell["engine"] != "unknown" else ""
        sees = f"source {cell['source_nat']}" if cell["source_nat"] else ""
        stations.append(Station("translated", engine or "on this node", sees))
        stations.append(Station("backend", cell["backend"], cell["backend_name"]))
    broken, why = _break(flow, cell)
    return LostFlow(
        title=f"{cell['protocol']} {cell['client']} → {cell['virtual']}",
        state=cell["state"],
        cause=cell["cause"],
        stations=tuple(stations),
        broken_after=min(broken, len(stations) - 1),
        why=why,
        packets=_excerpt(flow, packets, interfaces),
    )


def _break(flow: Table, cell: dict[str, str]) -> tuple[int, str]:
    """Behind which station it went wrong, and how that is known."""
    seen = int(flow["seen"][0])
    for bit, station, why in (
        (Seen.DROPPED, 1, f"dropped by the kernel: {cell['drop'] or 'no reason told'}"),
        (Seen.NO_DESTINATION, 1, "IPVS had no usable real server"),
        (Seen.NO_ROUTE, 2, "no route to the backend"),
        (Seen.CT_FAILED, 1, "conntrack could not insert it"),
        (Seen.RST_LOCAL, 1, "reset by this node"),
        (Seen.RST_BACKEND, 3, "reset by the backend"),
        (Seen.ICMP_REFUSED, 1, "refused by an ICMP error"),
        (Seen.LOCAL_IN, 1, "delivered to this machine itself"),
        (Seen.ANSWER_BACKEND, 2, "the answer did not come back to the client"),
        (Seen.SYN_TRANSLATED, 3, "sent on, never answered"),
    ):
        if seen & bit:
            return station, why
    return 1, "no answer"


def _excerpt(flow: Table, packets: EventRows, interfaces: dict[int, str]) -> tuple[str, ...]:
    """Its first packets on any leg, as lines."""
    mine = np.zeros(len(packets), dtype=np.bool_)
    for one, other in _SIDES:
        for here, there in ((one, other), (other, one)):
            same = packets["src_port"] == flow[f"{here}_port"][0]
            same &= packets["dst_port"] == flow[f"{there}_port"][0]
            same &= (packets["src"] == flow[here][0]).all(axis=1)
            mine |= same & (packets["dst"] == flow[there][0]).all(axis=1)
    rows = np.flatnonzero(mine & (packets["protocol"] == flow["protocol"][0]))
    lines = [_line(packets[row], interfaces) for row in rows[:MAX_LINES].tolist()]
    more = len(rows) - MAX_LINES
    return tuple(lines + ([f"… and {more} more"] if more > 0 else []))


def _line(packet: np.void, interfaces: dict[int, str]) -> str:
    ends = [
        address.endpoint(packet[side].tobytes(), int(packet[f"{side}_port"]))
        for side in ("src", "dst")
    ]
    flags = "".join(letter for bit, letter in _LETTERS.items() if packet["tcp_flags"] & bit)
    name = interfaces.get(int(packet["ifindex"]), str(packet["ifindex"]))
    time = rfc3339(int(packet["time_ns"]))[11:26]
    where = f"{name}: {ends[0]} → {ends[1]}"
    return harmless(f"{time} {where} {f'[{flags}] ' if flags else ''}{packet['length']} bytes")
