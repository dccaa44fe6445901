from __future__ import annotations

import pytest

from tests.builders import batch, packet
from tests.tracer.shown import WEB, blackhole, connect, refuse, traced
from tracer.address import parse
from tracer.diagnosis.finding import Finding, FlowSubject, Subject
from tracer.filters import parse as parse_filter
from tracer.naming import naming_of
from tracer.pipeline import Pipeline
from tracer.view import Page, Snapshot, View, ViewQuery
from tracer.view.fetched import Fetched
from tracer.view.finding_filter import passing

BY_SERVICE = blackhole()
BY_NODE = blackhole(cause="no-default-route", subject=Subject(node="worker-1"))
BY_FLOW = blackhole(
    cause="conntrack-table-full",
    subject=Subject(flow=FlowSubject(17, parse("10.0.0.7"), 999, parse("10.96.0.53"), 53)),
)


def refused() -> Pipeline:
    """Two connections, one of which the backend refused: one finding with a flow."""
    pipeline = traced()
    connect(pipeline, 1.0, count=2)
    refuse(pipeline, 2.0)
    pipeline.feed(batch(packet(9.0, WEB, "10.244.3.8:1", "RA"), until=30.0))
    assert [finding.cause for finding in pipeline.findings.open()] == ["refused-by-backend"]
    return pipeline


def shown(text: str) -> Snapshot:
    return View().answer(refused(), ViewQuery(page=Page.BLACKHOLES, filter=text))


def alone(text: str) -> list[Finding]:
    """Those of three findings without flows that pass."""
    pipeline = traced()
    every = Fetched(pipeline.table.flows, pipeline.table.alive())
    findings = (BY_SERVICE, BY_NODE, BY_FLOW)
    return passing(findings, parse_filter(text), every, naming_of(pipeline))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("cause=refused*", 1),
        ("service=shop/web", 1),
        ("port=40000", 1),
        ("port=40001", 0),
        ("service=other/*", 0),
        ("not cause=refused-by-backend", 0),
    ],
)
def test_a_finding_passes_with_a_flow_that_it_explains(text: str, count: int):
    shot = shown(text)
    assert (len(shot.open), shot.open_count) == (count, 1)
    assert shot.missing == "No finding passes the filter."


def test_a_mistake_in_the_filter_shows_every_finding():
    shot = shown("port=")
    assert len(shot.open) == 1
    assert "column" in shot.error


def test_other_pages_keep_every_finding_on_top():
    assert len(View().answer(refused(), ViewQuery(filter="port=1")).open) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("service=kube-system/*", [BY_SERVICE]),
        ("192.168.1.2", [BY_SERVICE]),
        ("node=worker-1", [BY_NODE]),
        ("cause=no-*", [BY_NODE]),
        ("port 53 and proto=udp", [BY_FLOW]),
        ("10.0.0.0/24", [BY_FLOW]),
        ("not cause=no-*", [BY_SERVICE, BY_FLOW]),
        ("service=*", [BY_SERVICE]),
    ],
)
def test_a_finding_without_flows_goes_by_its_subject(text: str, expected: list[Finding]):
    assert alone(text) == expected
