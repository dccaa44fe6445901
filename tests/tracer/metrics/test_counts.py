"""What is counted of flows: by Service, once, and within bounds."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import batch, record
from tests.tracer.shown import answer, blackhole, cluster, connect, end, passing, refuse, traced
from tracer.address import parse
from tracer.cluster.model import Service, ServicePort
from tracer.events import Flag, Hook, Loss
from tracer.flow import Engine
from tracer.metrics.counts import OTHER, MetricsSink
from tracer.pipeline import Pipeline, Update

WEB = ("shop", "web", "http", "ClusterIP")


class Watched:
    """A pipeline whose every update is counted, and a clock that is always a second later."""

    def __init__(self, pipeline: Pipeline | None = None, **limits) -> None:
        self.pipeline = pipeline or traced()
        self.now_s = 0.0
        self.sink = MetricsSink(lambda: "bpf", lambda: 2, self._clock, **limits)

    def _clock(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def see(self, update: Update) -> None:
        self.sink.write(self.pipeline, update)

    def of(self, labels) -> int:
        return self.sink.figures.services.index(labels)


def test_a_connection_is_counted_once_however_often_it_changes():
    story = Watched()
    story.see(connect(story.pipeline, 1.0, count=3))
    for step in (answer(story.pipeline, 1.1), answer(story.pipeline, 1.2), end(story.pipeline, 2)):
        story.see(step)
    figures, web = story.sink.figures, story.of(WEB)
    assert figures.translations[web][Engine.IPVS] == sum(map(sum, figures.translations)) == 3
    assert figures.outcomes[web] == (1, 0, 0)


def test_a_refusal_is_an_outcome():
    story = Watched()
    story.see(connect(story.pipeline, 1.0))
    story.see(refuse(story.pipeline, 1.1))
    assert story.sink.figures.outcomes[story.of(WEB)] == (0, 1, 0)


def test_what_was_there_before_the_trace_is_not_counted():
    story = Watched()
    story.see(connect(story.pipeline, 1.0, flags=Flag.EXISTING))
    assert story.sink.figures.services == (("", "", "", ""),)


def test_what_is_known_by_its_end_alone_is_no_new_connection():
    story = Watched()
    story.see(end(story.pipeline, 5.0))
    assert sum(map(sum, story.sink.figures.translations)) == 0


def test_services_beyond_the_bound_share_one_series():
    services = tuple(
        Service("shop", f"web-{n}", "ClusterIP", (ServicePort("", 6, 80, "80"),), (vip(n),))
        for n in range(5)
    )
    story = Watched(traced(replace(cluster(), services=services)), max_services=2)
    for n in range(5):
        made = record(
            Hook.CT_NEW,
            1.0,
            "10.244.3.8:4000",
            f"10.96.1.{n}:80",
            nat=("10.244.3.8:4000", "10.244.1.5:8080"),
            flags=Flag.DST_NAT,
        )
        story.see(story.pipeline.feed(batch(made, until=1.0)))
    assert len(story.sink.figures.services) == 4
    assert sum(story.sink.figures.translations[story.of((OTHER,) * 4)]) == 3


def vip(number: int) -> bytes:
    return parse(f"10.96.1.{number}")


def test_findings_are_counted_as_they_open_and_gauged_while_they_stand():
    story = Watched()
    story.see(replace(passing(story.pipeline, 1.0), opened=(blackhole(), blackhole("a/b"))))
    assert story.sink.figures.findings_total == {("ipvs-external-ip-is-node-ip", "critical"): 2}
    assert story.sink.figures.findings_open == {}


def test_losses_drops_and_what_is_missing_are_told():
    story = Watched()
    dropped = record(Hook.DROP, 1.0, "10.0.0.1:5", "10.0.0.2:6", reason=3)
    update = story.pipeline.feed(
        batch(dropped, until=1.0, lost=Loss(kernel=7), texts={3: "NETFILTER_DROP"})
    )
    story.see(update)
    figures = story.sink.figures
    assert figures.drops == {"NETFILTER_DROP": 1}
    assert (figures.lost.kernel, figures.degraded, figures.backend) == (7, 2, "bpf")


def test_figures_are_handed_out_once_a_second():
    pipeline = traced()
    sink = MetricsSink(clock=lambda: 5.0)
    sink.write(pipeline, connect(pipeline, 1.0))
    first = sink.figures
    sink.write(pipeline, connect(pipeline, 2.0, port=50000))
    assert sink.figures is first
    sink.close(pipeline, {})
    assert sum(sink.figures.translations[1]) == 2
