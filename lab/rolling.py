"""A rollout under load: endpoints leave, none is left, they come back, readiness flaps.

Every connection is noted by its client with its time, every change of the slices with its own;
viptrace must have translated each as the pod saw it, and say of those to a departed endpoint that
it had departed, and for how long.
"""

from __future__ import annotations

import itertools
import json
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.kernels import Say
from lab.netns import Child
from lab.objects import CLUSTERS, Change, all_of, read, to_cluster, with_readiness, without_pod
from lab.proxying import Proxies
from lab.rules.apply import Mode
from lab.topology import Topology
from lab.tracing import Line, Tracing
from lab.traffic import Exchange, Load, drive
from tracer.cluster.model import Cluster

NODE, CLIENT, SERVICE = "worker-1", "shell", "default/echo"
LOAD = Load("10.96.0.10", 80, tcp=1, timeout_s=5.0, pause_s=0.05)
FIRST_PORT, PORTS = 10240, 17000
PODS = ("echo-3", "echo-2", "echo-1")
EXPECTED_CAUSES = frozenset({"svc-no-endpoints"})
"""True while nobody is left; nothing else goes wrong in a rollout whose pods answer to the end."""
FALLBACKS = frozenset({"dropped-unexplained", "unanswered-unexplained"})
"""Said where the kernel is ahead of the API, until the API tells why."""
NEWS_S = 3.0
"""viptrace hears of a change at most so long after the API server was told."""
REST_S = 2.0


def _without(*names: str) -> Change:
    return all_of(*(without_pod("default", name) for name in names))


def _leaving(number: int) -> Iterator[tuple[str, Change]]:
    """A pod is told to end, answers on, and is gone."""
    pod = PODS[number]
    ending = with_readiness("default", pod, False, terminating=True)
    yield f"{pod} terminating", all_of(_without(*PODS[:number]), ending)
    yield f"scale to {2 - number}", _without(*PODS[: number + 1])


STEPS: tuple[tuple[str, Change], ...] = (
    *(step for number in range(3) for step in _leaving(number)),
    *((f"scale to {n + 1}", _without(*PODS[: 2 - n])) for n in range(2)),
    ("scale to 3", all_of()),
    *(
        (f"echo-2 {'ready' if ready else 'not ready'}", with_readiness("default", "echo-2", ready))
        for ready in (False, True, False, True)
    ),
)


@dataclass(frozen=True, slots=True)
class Timed:
    """One connection, and when its client began it (wall clock)."""

    at_ns: int
    exchange: Exchange


@dataclass
class History:
    """Which pods were in the slices, from when on."""

    times: list[int] = field(default_factory=list)
    pods: list[frozenset[str]] = field(default_factory=list)
    followed: list[int] = field(default_factory=list)
    """When the proxy had done what the slices said, once for each time."""

    def note(self, at_ns: int, cluster: Cluster) -> None:
        """The API server is told of this now."""
        usable = cluster.usable_endpoints(SERVICE, "web")
        self.times.append(at_ns)
        self.pods.append(frozenset(item.pod.partition("/")[2] for item in usable))

    def away_s(self, pod: str, at_ns: int) -> float | None:
        """For how long the pod had been out of the slices then; None if it was in them."""
        at = bisect_right(self.times, at_ns) - 1
        since = None
        while at >= 0 and pod not in self.pods[at]:
            since, at = self.times[at], at - 1
        return None if since is None else (at_ns - since) / 1e9


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a run gave."""

    connections: int
    late: int
    """Of these, those to an endpoint that had left."""
    faults: tuple[str, ...]
    lag: Sequence[Mapping[str, Any]]
    findings: frozenset[str]

    def lines(self) -> Iterator[str]:
        """A few lines for people."""
        yield f"connections {self.connections}, to departed endpoints {self.late}"
        yield f"findings: {', '.join(sorted(self.findings)) or 'none'}"
        for service in self.lag:
            yield f"lag {json.dumps(service)}"
        yield from (f"FAIL {fault}" for fault in self.faults[:10])


def roll(
    mode: Mode, backend: str, folder: Path, prefix: str, proxies: Proxies, say: Say
) -> Rollout:
    """Run it with one sort of proxies."""
    whole = read("default")
    folder.mkdir(parents=True, exist_ok=True)
    noted = folder / "connections.ndjson"
    with Topology(to_cluster(whole), prefix, NODE, proxies, frozenset({NODE})) as topology:
        topology.program(mode)
        naming = proxies.naming(CLUSTERS / "default.yaml")
        with Tracing(topology.namespace(NODE), folder, naming, NODE, backend) as tracing:
            history = History()
            history.note(0, topology.cluster)
            history.followed.append(0)
            client = Child(topology.namespace(CLIENT), _keep_connecting, noted)
            try:
                for what, change in STEPS:
                    time.sleep(REST_S)
                    cluster = to_cluster(change(whole))
                    history.note(time.time_ns(), cluster)
                    topology.resync(mode, cluster)
                    history.followed.append(time.time_ns())
                    say(f"{what}: followed in {(time.time_ns() - history.times[-1]) / 1e9:.1f} s")
                time.sleep(REST_S)
            finally:
                client.stop()
            time.sleep(REST_S)
            tracing.stop()
            lines = list(tracing.lines())
    return judged(lines, list(timed(noted)), history)


def judged(lines: Sequence[Line], made: Sequence[Timed], history: History) -> Rollout:
    """Compare what viptrace said with what client, pods and API server know."""
    told: dict[int, list[Line]] = {}
    for line in lines:
        if line["type"] == "translation" and line["virtual"]["ip"] == LOAD.ip:
            told.setdefault(line["client"]["port"], []).append(line)
    answered = [item for item in made if item.exchange.answered_by]
    faults = [fault for item in answered for fault in _faults(item, told, history)]
    failed = [item for item in made if item.exchange.failure and _served(item, history)]
    faults += [f"{item.exchange.client_port}: {item.exchange.failure}" for item in failed]
    last = {
        (line["cause"], str(line["subject"])): line["status"]
        for line in lines
        if line["type"] == "finding"
    }
    gave_way = {cause for (cause, _), status in last.items() if status == "closed"} & FALLBACKS
    causes = frozenset(cause for cause, _ in last) - gave_way
    faults += [f"false finding {cause}" for cause in sorted(causes - EXPECTED_CAUSES)]
    lost = lines[-1].get("lost", {})
    faults += [f"{count} lost in {where}" for where, count in lost.items() if count]
    late = sum(
        history.away_s(item.exchange.answered_by, item.at_ns) is not None for item in answered
    )
    return Rollout(len(made), late, tuple(faults), lines[-1].get("lag") or (), causes)


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
    away = [history.away_s(pod, item.at_ns + later) for later in (0, int(NEWS_S * 1e9))]
    if all(abs((said or 0.0) - (known or 0.0)) > NEWS_S for known in away):
        yield f"{exchange.client_port}: departed for {said} s, the slices say {away[0]}"


def _epoch_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e9)


def _served(item: Timed, history: History) -> bool:
    """Whether somebody was in the slices that rules were made of then, so that it must succeed."""
    window = int(NEWS_S * 1e9)
    return all(
        pods for begin, end, pods in _spans(history) if begin - window <= item.at_ns <= end + window
    )


def _spans(history: History) -> Iterator[tuple[int, int, frozenset[str]]]:
    """What the proxy may go by, and until when: its rules are those of before for a while."""
    ends = [*history.followed[1:], 1 << 63]
    yield from zip(history.times, ends, history.pods, strict=True)


def timed(path: Path) -> Iterable[Timed]:
    """The client's notes; a half-written last line is left out."""
    text = path.read_text()
    for line in text[: text.rfind("\n") + 1].splitlines():
        values = json.loads(line)
        yield Timed(values.pop("at_ns"), Exchange(**values))


def _keep_connecting(path: Path) -> None:
    """One connection after the other, for ever, each noted; ports come again only late."""
    with path.open("w") as notes:
        for number in itertools.count():
            at_ns = time.time_ns()
            for exchange in drive(replace(LOAD, first_port=FIRST_PORT + number % PORTS)):
                notes.write(json.dumps({**exchange.to_json(), "at_ns": at_ns}) + "\n")
                notes.flush()
