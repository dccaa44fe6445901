from __future__ import annotations

import pytest

from tests.builders import batch, packet
from tests.tracer.shown import VIP, WEB, connect, passing, refuse, traced
from tracer.events import Flag
from tracer.pipeline import Pipeline
from tracer.view import View, ViewQuery
from tracer.view.trends import STEPS, Trends


def trends(pipeline: Pipeline) -> Trends:
    return View().answer(pipeline, ViewQuery()).trends


def test_new_flows_are_counted_by_the_second():
    pipeline = traced()
    connect(pipeline, 1.0)
    connect(pipeline, 99.2, count=4, port=1000)
    passing(pipeline, 100.0)
    counted = trends(pipeline)
    assert (counted.step_ns, len(counted.flows)) == (1_000_000_000, STEPS)
    assert counted.flows[-2:] == (0.0, 4.0)
    assert sum(counted.flows) == 4.0


def test_a_short_recording_fills_the_line():
    pipeline = traced()
    connect(pipeline, 1.0)
    connect(pipeline, 3.0, port=1000)
    counted = trends(pipeline)
    assert counted.step_ns == 50_000_000
    assert (counted.flows[0], counted.flows[-1]) == (0.0, 20.0)


def test_failures_and_answers_have_their_own_lines():
    pipeline = traced()
    connect(pipeline, 1.0, count=2)
    refuse(pipeline, 50.0)
    seen = (packet(60.0, "10.244.3.8:40001", VIP, "S"), packet(60.2, WEB, "10.244.3.8:40001", "SA"))
    pipeline.feed(batch(*seen, until=61.0))
    counted = trends(pipeline)
    assert sum(counted.bad) == 1.0
    assert max(counted.answer_ms) == pytest.approx(200.0)


def test_what_existed_before_is_not_new():
    pipeline = traced()
    connect(pipeline, 1.0, flags=Flag.EXISTING)
    assert sum(trends(pipeline).flows) == 0.0


def test_nothing_gives_empty_lines():
    assert sum(trends(traced()).flows) == 0.0


def test_a_step_is_counted_once():
    view, pipeline = View(), traced()
    connect(pipeline, 1.0)
    first = view.answer(pipeline, ViewQuery()).trends
    assert view.answer(pipeline, ViewQuery()).trends is first
