"""What a screen costs: the pipeline's answer to it and its drawing, with many flows.

Processor time, so that a busy machine does not distort it. Flows come through the table
as they would live, and a share of them changes between two refreshes.
Run with ``python -m bench.screen [flows]``.
"""

from __future__ import annotations

import asyncio
import sys
import time

from bench.flows import connections
from tracer.cluster.model import Cluster, Endpoint, Service, ServicePort
from tracer.events import EventBatch, Hook, Origin
from tracer.node.model import NodeState
from tracer.pipeline import Pipeline
from tracer.tui.app import TracerApp
from tracer.view import Page, View, ViewQuery

REFRESHES = 20
CHANGES = 5000
"""Records between two refreshes: 20,000 a second at four refreshes a second."""


def filled(flows: int) -> tuple[Pipeline, View]:
    """A pipeline with so many living flows through one Service."""
    pipeline, view = Pipeline(), View()
    events = connections(flows)
    living = events[events["hook"] != Hook.CT_END]
    until = int(living["time_ns"].max())
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


def answer_ms(pipeline: Pipeline, view: View, query: ViewQuery, flows: int) -> float:
    """Milliseconds of one answer, while flows change between two."""
    changes = connections(flows)
    changes = changes[changes["hook"] == Hook.CT_NEW]
    spent, latest = 0.0, pipeline.now_ns
    for turn in range(REFRESHES):
        begin = turn * CHANGES % max(len(changes) - CHANGES, 1)
        part = changes[begin : begin + CHANGES].copy()
        part["hook"] = Hook.CT_UPDATE
        part["time_ns"] = latest + 250_000_000 * (turn + 1)
        until = int(part["time_ns"].max())
        view.observe(pipeline, pipeline.feed(EventBatch(part, Origin.KERNEL, until)))
        start = time.process_time()
        view.answer(pipeline, query)
        spent += time.process_time() - start
    return spent * 1000 / REFRESHES


async def drawing_ms(pipeline: Pipeline, view: View, page: Page) -> float:
    """Milliseconds of the app for one refresh, with the terminal's encoding left out."""
    spent = 0.0
    app = TracerApp(lambda _: None, "bench", ViewQuery(page=page))
    async with app.run_test(size=(160, 45)) as pilot:
        for turn in range(REFRESHES):
            shot = view.answer(pipeline, ViewQuery(page=page, start=turn, height=120))
            start = time.process_time()
            app.show(shot)
            await pilot.pause()
            spent += time.process_time() - start
    return spent * 1000 / REFRESHES


def main() -> None:
    """Print the cost of a refresh for every page."""
    flows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    pipeline, view = filled(flows)
    print(f"{len(pipeline.table)} flows, {CHANGES} changes between two refreshes; ms of processor")
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
        print(f"  answer {name:<18} {answer_ms(pipeline, view, query, flows):7.1f}")
    for page in (Page.TRANSLATIONS, Page.SERVICES, Page.EVENTS):
        print(f"  draw   {page.value:<18} {asyncio.run(drawing_ms(pipeline, view, page)):7.1f}")


if __name__ == "__main__":
    main()
