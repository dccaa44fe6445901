"""A long run under churn: connections without end, pods that come and go, and what viptrace holds.

Every few seconds its memory, descriptors, threads and counters are noted, one JSON object a
line; at the end the counters are held against what the clients did.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from multiprocessing import Value
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from lab.netns import Child, call
from lab.objects import CLUSTERS, read, to_cluster, without_pod
from lab.rules.apply import Mode
from lab.topology import Topology
from lab.tracing import Tracing
from lab.traffic import Load, drive

Say = Callable[[str], None]

NODE = "worker-1"
PORT = 9464
SAMPLE_S = 10.0
CHANGE_S = 20.0
REPORT_S = 600.0
"""Between two rows of the printed table."""
WARM_UP = 0.2
"""Share of a run in which the flow table and the allocator find their size."""
COUNTED = Load("10.96.0.20", 80, tcp=1, timeout_s=2)
COUNTED_SERVICE = "echo-nodeport"
BESIDE = Load("fd00:10:96::a", 80, tcp=20, udp=20, udp_port=53, timeout_s=2, pause_s=0.05)
REFUSED = Load("10.96.0.30", 80, tcp=5, timeout_s=1, pause_s=0.5)
"""A Service without endpoints."""
COLUMNS = (
    *("after", "memory", "descriptors", "threads", "flows held", "flows forgotten"),
    *("connections made", "translations counted", "records lost"),
)
_SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """What viptrace holds at one moment, by its process and by its own metrics."""

    at_s: float
    rss_kb: int
    descriptors: int
    threads: int
    cpu_s: float
    flows: int
    evicted: int
    translations: int
    """Of the counted address."""
    made: int
    """Connections that the counted clients had made a moment before."""
    lost: int

    def row(self) -> str:
        """A line of a Markdown table."""
        cells = (
            f"{self.at_s / 60:.0f} min",
            f"{self.rss_kb / 1024:.1f} MiB",
            *map(str, (self.descriptors, self.threads)),
            *(f"{n:,}" for n in (self.flows, self.evicted, self.made, self.translations)),
            str(self.lost),
        )
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has shown."""

    samples: tuple[Sample, ...]
    status: int
    summary: dict[str, object]

    @property
    def steady(self) -> tuple[Sample, ...]:
        """Samples behind the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP) :]

    def growth(self, what: str) -> int:
        """Median of the last fifth over that of the first after the warm-up."""
        steady = [getattr(sample, what) for sample in self.steady]
        part = max(1, len(steady) // 5)
        return _median(steady[-part:]) - _median(steady[:part])

    def faults(self) -> list[str]:
        """What must not be; empty for a good run."""
        if len(self.samples) < 10:
            return ["too few samples"]
        told = self.samples[-1]
        found = []
        if self.growth("rss_kb") > self.steady[0].rss_kb // 20:
            found.append(f"memory grew by {self.growth('rss_kb')} kB after the warm-up")
        growing = (name for name in ("descriptors", "threads") if self.growth(name) > 0)
        found += [f"{name} grew by {self.growth(name)}" for name in growing]
        if told.lost:
            found.append(f"{told.lost} records lost")
        # A client is stopped between two connections, or within one that it has not counted.
        if told.translations - told.made not in (0, 1):
            found.append(f"{told.translations} translations of {told.made} connections")
        if self.status not in (0, 130):
            found.append(f"exit status {self.status}")
        return found

    def lines(self) -> Iterator[str]:
        """A few lines for people."""
        first, last = self.steady[0], self.samples[-1]
        yield f"time {last.at_s:.0f} s, connections {last.made}, translations {last.translations}"
        yield (
            f"memory after the warm-up {first.rss_kb / 1024:.1f} MiB, at the end "
            f"{last.rss_kb / 1024:.1f} MiB, most {max(s.rss_kb for s in self.samples) / 1024:.1f}"
        )
        yield f"descriptors {first.descriptors} -> {last.descriptors}"
        yield f"threads {first.threads} -> {last.threads}"
        yield f"flows held {last.flows}, evicted {last.evicted}, records lost {last.lost}"
        yield f"processor {100 * last.cpu_s / last.at_s:.1f} % of one core"
        yield from self.table()

    def table(self) -> Iterator[str]:
        """A Markdown row for every ten minutes."""
        yield f"| {' | '.join(COLUMNS)} |"
        yield "|---" * len(COLUMNS) + "|"
        due = 0.0
        for sample in self.samples:
            if sample.at_s >= due or sample is self.samples[-1]:
                due += REPORT_S
                yield sample.row()


def churn(
    mode: Mode,
    backend: str,
    duration_s: float,
    max_flows: int,
    pause_s: float,
    folder: Path,
    prefix: str,
    say: Say,
) -> Outcome:
    """Run it; samples go to ``samples.ndjson`` of the folder as they are taken."""
    with Topology(to_cluster(read("default")), prefix) as topology:
        topology.program(mode)
        # Lines of a million connections would fill the disk: those of the refused ones do.
        options = (
            "service=default/empty",
            "--max-flows",
            str(max_flows),
            "--metrics",
            f"127.0.0.1:{PORT}",
        )
        namespace = topology.namespace(NODE)
        naming = topology.proxies.naming(CLUSTERS / "default.yaml")
        with Tracing(namespace, folder, naming, NODE, backend, options) as tracing:
            made = Value("Q", 0)
            drivers = [
                Child(topology.namespace("shell"), _keep, replace(COUNTED, pause_s=pause_s), made),
                Child(topology.namespace("shell"), _keep, BESIDE, Value("Q", 0)),
                Child(topology.namespace("shell"), _keep, REFUSED, Value("Q", 0)),
            ]
            say(f"{backend} in {mode} mode for {duration_s:.0f} s, samples in {folder}")
            try:
                samples = _watch(topology, mode, tracing, duration_s, made)
            finally:
                for driver in drivers:
                    driver.stop()
            time.sleep(3.0)
            samples.append(_sample(tracing, duration_s, made.value))
            status = tracing.stop()
    *_, last = tracing.lines()
    return Outcome(tuple(samples), status, last)


def _keep(load: Load, made: Synchronized[int]) -> None:
    """Drive for ever and count."""
    while True:
        done = len(drive(load))
        with made.get_lock():
            made.value += done


def _watch(
    topology: Topology,
    mode: Mode,
    tracing: Tracing,
    duration_s: float,
    made: Synchronized[int],
) -> list[Sample]:
    """Change the cluster now and then, note a sample now and then, until the time is over."""
    whole = read("default")
    states = (to_cluster(without_pod("default", "echo-1")(whole)), to_cluster(whole))
    began = time.monotonic()
    samples: list[Sample] = []
    changed_at, turn = 0.0, 0
    with (tracing.folder / "samples.ndjson").open("w") as file:
        while (at_s := time.monotonic() - began) < duration_s:
            if at_s >= changed_at + CHANGE_S:
                topology.resync(mode, states[turn % 2])
                changed_at, turn = at_s, turn + 1
            samples.append(_sample(tracing, at_s, made.value))
            file.write(json.dumps(asdict(samples[-1])) + "\n")
            file.flush()
            time.sleep(SAMPLE_S)
    topology.resync(mode, states[1])
    return samples


def _sample(tracing: Tracing, at_s: float, made: int) -> Sample:
    process = Path("/proc") / str(tracing.pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    told = series(call(tracing.namespace, _metrics))
    return Sample(
        at_s=round(at_s, 1),
        rss_kb=int(status["VmRSS"].split()[0]),
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        cpu_s=_sum(told, "process_cpu_seconds_total"),
        flows=int(_sum(told, "viptrace_flows")),
        evicted=int(_sum(told, "viptrace_flows_evicted_total")),
        translations=int(_sum(told, "viptrace_translations_total", f'service="{COUNTED_SERVICE}"')),
        made=made,
        lost=int(_sum(told, "viptrace_lost_total")),
    )


def _metrics() -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def series(text: str) -> list[tuple[str, str, float]]:
    """Name, labels and value of every series of an exposition."""
    return [(name, labels, float(value)) for name, labels, value in _SERIES.findall(text)]


def _sum(told: list[tuple[str, str, float]], name: str, label: str = "") -> float:
    return sum(value for found, labels, value in told if found == name and label in labels)


def _median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2]
