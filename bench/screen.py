"""What a screen costs: the pipeline's answer to it and its drawing, with many flows.

Processor time, so that a busy machine does not distort it. Flows come through the table
as they would live, and a share of them changes between two refreshes.
Run with ``python -m bench.screen [flows]``.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.flows import connections
from bench.screen_pty import COLUMNS, ROWS, key_ms, measure, refresh_ms
from tracer.cluster.model import Cluster, Endpoint, Service, ServicePort
from tracer.events import EventBatch, Hook, Origin, no_records
from tracer.node.model import NodeState
from tracer.pipeline import Pipeline
from tracer.tui.app import TracerApp
from tracer.view import Page, Snapshot, View, ViewQuery

KEYS = 10
REFRESHES = 24
REFRESHES_A_SECOND = 4
CHANGES = 5000
"""Records between two refreshes: 20,000 a second."""


def filled(flows: int) -> tuple[Pipeline, View]:
    """A pipeline with so many living flows through one Service."""
    pipeline, view = Pipeline(), View()
    events = connections(flows)
    living = events[events["hook"] != Hook.CT_END]
    until = int(living["time_ns"].max())
    # A run that is older than what the sparklines show, as most are.
    began = int(living["time_ns"].min()) - 60_000_000_000
    pipeline.feed(EventBatch(no_records(), Origin.KERNEL, began))
    pipeline.set_node(NodeState(proxy_mode="ipvs"), until)
    pipeline.set_cluster(_cluster(pipeline, living), until)
    view.observe(pipeline, pipeline.feed(EventBatch(living, Origin.KERNEL, until)))
    return pipeline, view


def _cluster(pipeline: Pipeline, events: object) -> Cluster:
    """One Service at the address all connect to, with its three pods."""
    ip, pods = _address(0, 99), [_address(0, 1000 + number) for number in range(3)]
    service = Service("bench", "web", "ClusterIP", (ServicePort("http", 6, 80, "8080"),), (ip,))
    endpoints = tuple(
        Endpoint("bench/web", "http", 6, pod, 8080, "node", "bench/web") for pod in pods
    )
    return Cluster((service,), endpoints, generation=1)


def _address(high: int, low: int) -> bytes:
    return high.to_bytes(8, "little") + low.to_bytes(8, "little")


class Changing:
    """Answers queries while flows change between two, and tells what the answer took."""

    def __init__(self, flows: int) -> None:
        self.pipeline, self._view = filled(flows)
        changes = connections(flows)
        self._changes = changes[changes["hook"] == Hook.CT_NEW]
        self._turn = 0
        self._asked_at = time.monotonic()

    def __call__(self, query: ViewQuery) -> tuple[Snapshot, float]:
        """The answer, and the seconds of processor it took without the changes."""
        return self._answered(query, CHANGES)

    def by_the_clock(self, query: ViewQuery) -> Snapshot:
        """The answer after as many changes as the time since the last one brings."""
        now = time.monotonic()
        passed_s, self._asked_at = now - self._asked_at, now
        return self._answered(query, min(int(passed_s * CHANGES * REFRESHES_A_SECOND), CHANGES))[0]

    def _answered(self, query: ViewQuery, count: int) -> tuple[Snapshot, float]:
        self._turn += 1
        begin = self._turn * CHANGES % max(len(self._changes) - CHANGES, 1)
        part = self._changes[begin : begin + count].copy()
        part["hook"] = Hook.CT_UPDATE
        spent_ns = count * 1_000_000_000 // (CHANGES * REFRESHES_A_SECOND)
        part["time_ns"] = until = self.pipeline.now_ns + spent_ns
        update = self.pipeline.feed(EventBatch(part, Origin.KERNEL, until))
        self._view.observe(self.pipeline, update)
        start = time.process_time()
        shot = self._view.answer(self.pipeline, query)
        return shot, time.process_time() - start

    def answer_ms(self, query: ViewQuery) -> float:
        """Mean milliseconds of one answer: some are dearer than others by design."""
        return sum(self(query)[1] for _ in range(REFRESHES)) * 1000 / REFRESHES


def resident_bytes(flows: int) -> int:
    """What a process holds that has seen so many flows and shown them."""
    pipeline, view = filled(flows)
    view.answer(pipeline, ViewQuery())
    gc.collect()
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def bytes_per_flow(flows: int) -> float:
    """By how much one process is larger than another with half as many flows."""
    command = [sys.executable, "-m", "bench.screen", "--memory"]
    few, many = (
        int(subprocess.run([*command, str(count)], check=True, capture_output=True).stdout)
        for count in (flows, 2 * flows)
    )
    return (many - few) / flows


def main() -> None:
    """Print the cost of a refresh for every page; the parts in processes of their own too."""
    match sys.argv[1:]:
        case ["--refresh", flows, writer]:
            measure(Changing(int(flows)), REFRESHES, int(writer))
        case ["--keys", flows]:
            changing = Changing(int(flows))
            app = TracerApp(lambda query: app.show(changing.by_the_clock(query)), "bench")
            app.run()
        case ["--memory", flows]:
            print(resident_bytes(int(flows)))
        case given:
            _all(given[0] if given else "100000")


def _all(flows: str) -> None:
    changing = Changing(int(flows))
    print(f"{len(changing.pipeline.table)} flows, {CHANGES} changes between two refreshes")
    for name, query in {
        "translations": ViewQuery(),
        "… by client": ViewQuery(order="client"),
        "… filtered": ViewQuery(filter="port 8080 and state=new"),
        "… with details": ViewQuery(selected=1),
        "counted by client": ViewQuery(group="client"),
        "services": ViewQuery(page=Page.SERVICES),
        "events": ViewQuery(page=Page.EVENTS),
        "node": ViewQuery(page=Page.NODE),
    }.items():
        print(f"  answer {name:<18} {changing.answer_ms(query):7.1f} ms of processor")
    answered, drawn = refresh_ms(["--refresh", flows])
    print(f"on a terminal of {COLUMNS}x{ROWS}: answer {answered:.1f} + drawing {drawn:.1f} ms")
    passed, spent = key_ms(["--keys", flows], KEYS)
    print(
        f"key to screen {passed:.0f} ms, {spent:.0f} of processor (load {os.getloadavg()[0]:.0f})"
    )
    print(f"{bytes_per_flow(int(flows)):.0f} bytes of memory for a flow")


if __name__ == "__main__":
    main()
