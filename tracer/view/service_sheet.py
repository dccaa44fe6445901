"""Virtual servers and their backends: what ``ipvsadm -Ln --stats --rate`` tells, in every mode.

Counts come from the flows, names, conditions and policies from the cluster, weights
from IPVS where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tracer import address
from tracer.cells import Flows, Naming, count_text
from tracer.cluster.model import Cluster, ServiceKind, usable
from tracer.detail import Detail
from tracer.diagnosis.finding import Finding
from tracer.node.model import NodeState
from tracer.plain import harmless
from tracer.view.charts import share_text
from tracer.view.query import ViewQuery
from tracer.view.server_detail import backend_detail, server_detail
from tracer.view.servers import Backend, BackendKey, Server, ServerKey, servers_of
from tracer.view.sheet import Heading, Line, Sheet, Tone, sheet_of
from tracer.view.tally import CountPace, chosen, grouped, keys_of, tally, volumes

HEADINGS = (
    Heading("Service / backend"),
    Heading("Flows", right=True),
    Heading("New/s", right=True),
    Heading("Bad", right=True),
    Heading("Share"),
    Heading("Condition"),
    Heading("Active", right=True),
    Heading("Address"),
    Heading("Health"),
    Heading("Weight", right=True),
    Heading("Answer", right=True),
    Heading("Packets", right=True),
    Heading("Bytes", right=True),
    Heading("Kind"),
)
"""The most wanted to the left: narrow terminals cut the rest."""
_BAR_WIDTH = 6
_NO_COUNTS = ("",) * 3


@dataclass(slots=True)
class Load:
    """What flows did with one backend, or with all of a virtual server."""

    flows: int = 0
    active: int = 0
    bad: int = 0
    rate: float = 0.0
    answer_ns: float = 0.0
    """Sum over flows of how long the answer took."""
    volume: tuple[int, ...] = (0, 0, 0, 0)
    """Packets to the backend and back, then bytes."""

    def add(self, other: Load) -> None:
        """These, too."""
        self.flows += other.flows
        self.active += other.active
        self.bad += other.bad
        self.rate += other.rate
        self.answer_ns += other.answer_ns
        self.volume = tuple(map(sum, zip(self.volume, other.volume, strict=True)))

    @property
    def counts(self) -> tuple[str, ...]:
        """Under Flows, New/s and Bad."""
        return (
            count_text(self.flows),
            f"{self.rate:.1f}" if self.rate else "",
            count_text(self.bad) if self.bad else "",
        )

    @property
    def answer(self) -> str:
        """How long an answer took on average."""
        return f"{self.answer_ns / self.flows / 1e6:.2f}ms" if self.answer_ns else ""

    @property
    def volumes(self) -> tuple[str, str]:
        """Packets and bytes, there/back; empty where nobody counts."""
        there, back, bytes_there, bytes_back = map(count_text, self.volume)
        if not any(self.volume):
            return "", ""
        return f"{there}/{back}", f"{bytes_there}/{bytes_back}"


@dataclass(slots=True)
class _Observed:
    """A virtual server that flows have used."""

    total: Load = field(default_factory=Load)
    loads: dict[BackendKey, Load] = field(default_factory=dict)
    names: dict[BackendKey, str] = field(default_factory=dict)
    """Pods behind addresses, as the flows' rows name them."""


class ServicePage:
    """Keeps the virtual servers that were made of the last cluster and node."""

    def __init__(self) -> None:
        self._made_from: tuple[object, ...] = ()
        self._servers: dict[ServerKey, Server] = {}
        self._pace = CountPace()
        self._used: dict[ServerKey, _Observed] = {}
        self._idle: dict[ServerKey, list[Line]] = {}
        """Lines of servers that nobody uses, made once; by name."""

    def sheet(
        self,
        flows: Flows,
        naming: Naming,
        known: tuple[Cluster, NodeState],
        began_ns: int,
        query: ViewQuery,
        findings: tuple[Finding, ...],
    ) -> tuple[Sheet, Detail | None]:
        """Servers in use first, then the others, and all about the selected line."""
        self._learn(*known)
        if self._pace.is_due(len(flows), naming.now_ns, query):
            self._used = _observed(flows, naming, began_ns)
        used = self._used
        lines: list[Line] = []
        for key in sorted(used, key=lambda key: (self._server(key).name, key)):
            lines += _lines(self._server(key), used[key], known[0])
        if not query.filter:
            for key, idle in self._idle.items():
                if key not in used:
                    lines += idle
        sheet = sheet_of(HEADINGS, lines, query.start, query.height, query.row)
        line = lines[sheet.selected_at] if sheet.selected_at >= 0 else None
        return sheet, self._detail(line, known[0], findings) if line else None

    def _learn(self, cluster: Cluster, node: NodeState) -> None:
        made_from = cluster, node.virtual_servers, node.addresses, node.health_answers
        if self._made_from and all(
            old is new for old, new in zip(self._made_from, made_from, strict=True)
        ):
            return
        self._made_from, self._servers = made_from, servers_of(cluster, node)
        ordered = sorted(self._servers.values(), key=lambda server: (server.name, server.key))
        self._idle = {server.key: _lines(server, _Observed(), cluster) for server in ordered}

    def _server(self, key: ServerKey) -> Server:
        return self._servers.get(key) or Server(key)

    def _detail(self, line: Line, cluster: Cluster, findings: tuple[Finding, ...]) -> Detail | None:
        server = self._server(_server_key(line))
        own = tuple(
            finding
            for finding in findings
            if server.service and finding.subject.service == server.service.key
        )
        if len(line.key) == 3:
            return server_detail(line.id, server, own)
        backend_key = line.key[3]
        assert isinstance(backend_key, tuple)
        backend = server.backends.get(backend_key) or Backend(backend_key)
        return backend_detail(line.id, server, backend, cluster, own)


def _server_key(line: Line) -> ServerKey:
    protocol, ip, port = line.key[:3]
    assert isinstance(protocol, int)
    assert isinstance(ip, bytes)
    assert isinstance(port, int)
    return protocol, ip, port


def _observed(flows: Flows, naming: Naming, began_ns: int) -> dict[ServerKey, _Observed]:
    """Counts by virtual server and backend; the loop is over distinct pairs."""
    example, groups = grouped(keys_of(flows, "virtual", "backend"))
    counted = tally(flows, groups, example, naming.now_ns, began_ns)
    volume = volumes(flows, groups, len(example)).tolist()
    distinct = chosen(flows, example)
    names = distinct["backend_name"].tolist()
    used: dict[ServerKey, _Observed] = {}
    for at, (key, backend) in enumerate(_keys(distinct, naming)):
        flows_here = int(counted.flows[at])
        load = Load(
            flows_here,
            int(counted.active[at]),
            int(counted.bad[at]),
            float(counted.rate[at]),
            float(counted.answer_ns[at]) * flows_here,
            tuple(volume[at]),
        )
        server = used.setdefault(key, _Observed())
        server.total.add(load)
        server.loads.setdefault(backend, Load()).add(load)
        server.names[backend] = harmless(naming.name(names[at]))
    return used


def _keys(flows: Flows, naming: Naming) -> list[tuple[ServerKey, BackendKey]]:
    """Virtual server and backend of each flow; a node port is one on whatever node."""
    columns = [
        flows[name].tolist() for name in ("protocol", "virtual_port", "backend_port", "service")
    ]
    virtual, backend = (np.ascontiguousarray(flows[side]) for side in ("virtual", "backend"))
    found = []
    for at, (protocol, port, backend_port, service) in enumerate(zip(*columns, strict=True)):
        hit = naming.hit(service)
        everywhere = hit is not None and hit.kind == ServiceKind.NODE_PORT
        ip = b"" if everywhere else address.packed_at(virtual, at)
        found.append(((protocol, ip, port), (address.packed_at(backend, at), backend_port)))
    return found


def _lines(server: Server, used: _Observed, cluster: Cluster) -> list[Line]:
    """The line of a virtual server, and one for each backend under it."""
    known = "endpoints" in cluster.known and server.service is not None
    keys = sorted({*server.backends, *used.loads}, key=lambda key: (-_flows(used, key), key))
    head = Line(
        server.key,
        (
            server.name,
            *(used.total.counts if used.loads else _NO_COUNTS),
            "",
            _readiness(server) if known else "",
            count_text(used.total.active) if used.loads else "",
            server.text,
            harmless(server.health.text) if server.outside and server.health else "",
            server.scheduler,
            used.total.answer,
            *used.total.volumes,
            server.kind_name,
        ),
        _tone(server, used, known),
    )
    return [head, *(_backend_line(server, key, used, known) for key in keys)]


def _flows(used: _Observed, key: BackendKey) -> int:
    load = used.loads.get(key)
    return load.flows if load else 0


def _backend_line(server: Server, key: BackendKey, used: _Observed, known: bool) -> Line:
    backend = server.backends.get(key) or Backend(key)
    load = used.loads.get(key)
    self_made = key == server.key[1:]
    condition = backend.condition
    if not condition and known and not self_made:
        condition = "not in any slice"
    name = backend.endpoint.pod if backend.endpoint else ""
    name = harmless(name) or used.names.get(key) or backend.text
    return Line(
        (*server.key, key),
        (
            f"  {name.removeprefix(server.prefix)}",
            *(load.counts if load else _NO_COUNTS),
            share_text(_flows(used, key), used.total.flows, _BAR_WIDTH),
            "no backend chosen" if self_made else condition,
            count_text(load.active) if load else "",
            backend.text,
            "",
            str(backend.weight) if backend.weight >= 0 else "",
            load.answer if load else "",
            *(load.volumes if load else ("", "")),
            "",
        ),
        _backend_tone(backend, load, known),
    )


def _readiness(server: Server) -> str:
    endpoints = [b.endpoint for b in server.backends.values() if b.endpoint is not None]
    ready = sum(endpoint.ready for endpoint in endpoints)
    fallback = len(usable(endpoints)) if not ready else 0
    if not endpoints or not (ready or fallback):
        return "no usable endpoint"
    return f"{ready} of {len(endpoints)} ready" + (", terminating ones serve" if fallback else "")


def _tone(server: Server, used: _Observed, known: bool) -> Tone:
    if used.total.bad:
        return Tone.BAD
    unwell = server.outside and server.health is not None and not server.health.good
    unusable = known and _readiness(server).startswith("no ")
    return Tone.WARN if unwell or unusable else Tone.HEAD


def _backend_tone(backend: Backend, load: Load | None, known: bool) -> Tone:
    if load is not None and (load.bad or (known and backend.endpoint is None)):
        return Tone.BAD
    if backend.endpoint is not None and not backend.endpoint.ready:
        return Tone.WARN
    return Tone.PLAIN if load else Tone.DIM
