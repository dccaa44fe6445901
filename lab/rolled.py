"""What viptrace said of a rollout, held against client, pods, API server and kernel.

Each translation must be as the pod saw it, and say of those to a departed endpoint that it had
departed, and for how long. A finding is right if it was true when it was said, and false else:
no cause is expected, and none is forgiven.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.history import History, S, ServerHistory
from lab.tracing import Line
from lab.traffic import Exchange, Load
from tracer.address import endpoint, text
from tracer.cluster.model import Cluster
from tracer.diagnosis.rule import FOLLOWS_NS

SERVICE = "default/echo"
LOAD = Load("10.96.0.10", 80, tcp=1, timeout_s=30.0, pause_s=0.05)
VIRTUAL = f"{LOAD.ip}:{LOAD.port}"
FALLBACKS = frozenset({"dropped-unexplained", "unanswered-unexplained"})
"""Said where the kernel is ahead of the API, until the API tells why."""
NEWS_S = 6.0
"""viptrace hears of a change at most so long after we began to tell the API server."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One connection, and when its client began it (wall clock)."""

    at_ns: int
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that is known without viptrace."""

    made: Sequence[Timed]
    history: History
    servers: ServerHistory


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a run gave."""

    connections: int
    late: int
    """Of these, those to an endpoint that had left."""
    failed: int
    """Of these, those that nobody answered."""
    faults: tuple[str, ...]
    lag: Sequence[Mapping[str, Any]]
    findings: frozenset[str]

    def lines(self) -> Iterator[str]:
        """A few lines for people."""
        yield (
            f"connections {self.connections}, to departed endpoints {self.late}, "
            f"failed {self.failed}"
        )
        yield f"findings: {', '.join(sorted(self.findings)) or 'none'}"
        for service in self.lag:
            yield f"lag {json.dumps(service)}"
        yield from (f"FAIL {fault}" for fault in self.faults[:10])


def judged(
    lines: Sequence[Line], made: Sequence[Timed], history: History, servers: ServerHistory
) -> Rollout:
    """Compare what viptrace said with what client, pods, API server and kernel know."""
    known = Known(made, history, servers)
    told: dict[int, list[Line]] = {}
    for line in lines:
        if line["type"] == "translation" and line["virtual"]["ip"] == LOAD.ip:
            told.setdefault(line["client"]["port"], []).append(line)
    answered = [item for item in made if item.exchange.answered_by]
    faults = [fault for item in answered for fault in _faults(item, told, history)]
    failed = [item for item in made if item.exchange.failure]
    needless = [item for item in failed if _had_to_succeed(item, known)]
    faults += [f"{item.exchange.client_port}: {item.exchange.failure}" for item in needless]
    findings = _standing(lines)
    faults += [
        f"false finding {line['cause']}: {line['summary']}"
        for line in findings
        if not _true(line, known)
    ]
    lost = lines[-1].get("lost", {})
    faults += [f"{count} lost in {where}" for where, count in lost.items() if count]
    late = sum(
        history.away_s(item.exchange.answered_by, item.at_ns) is not None for item in answered
    )
    causes = frozenset(line["cause"] for line in findings)
    lag = lines[-1].get("lag") or ()
    return Rollout(len(made), late, len(failed), tuple(faults), lag, causes)


def _faults(item: Timed, told: Mapping[int, list[Line]], history: History) -> Iterator[str]:
    """What is wrong with the line of one answered connection; ports come again."""
    exchange = item.exchange
    lines = told.get(exchange.client_port)
    if not lines:
        yield f"{exchange.client_port}: no translation"
        return
    line = min(lines, key=lambda line: abs(_epoch_ns(line["first"]) - item.at_ns))
    if (line["backend"]["name"] or "").partition("/")[2] != exchange.answered_by:
        yield f"{exchange.client_port}: {line['backend']}, answered by {exchange.answered_by}"
    pod, said = exchange.answered_by, line["departed_s"]
    away = [history.away_s(pod, item.at_ns + later) for later in (0, int(NEWS_S * S))]
    if (before := history.away_s(pod, item.at_ns - int(NEWS_S * S))) is not None:
        away.append(before + NEWS_S)  # the news of its return were on their way
    if all(abs((said or 0.0) - (known or 0.0)) > NEWS_S for known in away):
        yield f"{exchange.client_port}: departed for {said} s, the slices say {away[0]}"


def _had_to_succeed(item: Timed, known: Known) -> bool:
    """Whether somebody was there all the while.

    In IPVS itself, where that was watched; else in the slices that rules were made of then.
    """
    window = int(NEWS_S * S)
    begin, end = item.at_ns - window, item.at_ns + window
    if known.servers.times:
        tables = known.servers.between(begin, end)
        return all(any(table.get(VIRTUAL, {}).values()) for table in tables)
    return all(
        pods for first, last, pods in known.history.spans() if first <= end and begin <= last
    )


def _standing(lines: Sequence[Line]) -> list[Line]:
    """Every finding as it was opened; doubts that gave way are none."""
    findings = [line for line in lines if line["type"] == "finding"]
    last = {(line["cause"], str(line["subject"])): line["status"] for line in findings}
    return [
        line
        for line in findings
        if line["status"] == "open"
        and not (
            line["cause"] in FALLBACKS and last[line["cause"], str(line["subject"])] == "closed"
        )
    ]


def _true(line: Line, known: Known) -> bool:
    proof = PROOFS.get(line["cause"])
    return proof is not None and proof(line, known)


def _nobody_there(line: Line, known: Known) -> bool:
    """The slices named no usable endpoint of the Service."""
    service = line["subject"]["service"] or ""
    there = known.history.between(*_window(line))
    return any(
        service in cluster.services_by_key and not cluster.usable_endpoints(service)
        for cluster in there
    )


def _sent_to_the_departed(line: Line, known: Known) -> bool:
    """That connection went to a pod which the slices had let go of, and came to nothing."""
    subject = line["subject"]
    port, since = subject["flow"]["src"]["port"], _epoch_ns(line["since"])
    mine = [item for item in known.made if item.exchange.client_port == port]
    if not mine:
        return False
    item = min(mine, key=lambda item: abs(item.at_ns - since))
    pod = known.history.pod_at(subject["address"])
    window = item.at_ns, item.at_ns + NEWS_S * S
    gone = any(known.history.away_s(pod, int(at_ns)) is not None for at_ns in window)
    return bool(item.exchange.failure) and gone and _has_server(subject["address"], window, known)


def _has_server(ip: str, window: tuple[float, float], known: Known) -> bool:
    """Whether IPVS still had that server then; True where it was not watched."""
    tables = known.servers.between(*window)
    there = (at.rpartition(":")[0] for table in tables for at in table.get(VIRTUAL, {}))
    return not known.servers.times or ip in there


def _ready_without_weight(line: Line, known: Known) -> bool:
    """IPVS gave the server no weight, and the slices called it ready long enough before."""
    subject = line["subject"]
    begin, end = _window(line)
    mine = _virtual_servers(subject["service"], known.history.clusters[0])
    weightless = any(
        weight == 0 and at.rpartition(":")[0] == subject["address"]
        for table in known.servers.between(begin, end)
        for virtual in mine & table.keys()
        for at, weight in table[virtual].items()
    )
    since = known.history.between(end - FOLLOWS_NS, begin)
    return weightless and all(_ready(subject, cluster) for cluster in since)


def _virtual_servers(name: str, cluster: Cluster) -> set[str]:
    """Where IPVS serves it: its own addresses, and node ports on the nodes'."""
    service = cluster.services_by_key[name]
    own = (*service.cluster_ips, *service.external_ips, *service.load_balancer_ips)
    found = {endpoint(ip, port.port) for ip in own for port in service.ports}
    nodes = cluster.node_by_address
    return found | {endpoint(ip, port.node_port) for ip in nodes for port in service.ports}


def _ready(subject: Mapping[str, Any], cluster: Cluster) -> bool:
    endpoints = cluster.endpoints_by_service.get(subject["service"], ())
    return any(text(item.ip) == subject["address"] and item.ready for item in endpoints)


def _window(line: Line) -> tuple[float, float]:
    """When it must have been so: about the time from which on it was said."""
    since = _epoch_ns(line["since"])
    return since - NEWS_S * S, since + NEWS_S * S


def _epoch_ns(told: str) -> int:
    return int(datetime.fromisoformat(told).timestamp() * S)


PROOFS: Mapping[str, Callable[[Line, Known], bool]] = {
    "svc-no-endpoints": _nobody_there,
    "endpoint-removal-lag": _sent_to_the_departed,
    "ipvs-weight-zero-after-restart": _ready_without_weight,
}
"""What makes a finding right that may come up while a Service is rolled out."""
