from __future__ import annotations

import pytest

from tests.tracer.shown import answer, connect, refuse, traced, untranslated
from tracer.view import Tone, View, ViewQuery


def counted(pipeline, group: str, **query):
    return View().answer(pipeline, ViewQuery(group=group, **query)).sheet


def two_services():
    pipeline = traced()
    connect(pipeline, 1.0, count=3)
    answer(pipeline, 1.5)
    untranslated(pipeline, 2.0)
    return pipeline


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("service", ("shop/web:http",)),
        ("client", ("shop/client", "10.244.3.8")),
        ("backend", ("shop/web-1", "10.244.1.5:8080")),
        ("node", ("worker-1",)),
    ],
)
def test_flows_are_counted_by(group, names):
    sheet = counted(two_services(), group)
    assert [row[: len(names)] for row in sheet.cells] == [names]
    assert sheet.cells[0][len(names) :] == ("3", "3", "3.0", "", "", "██████████ 100%")


def test_the_largest_group_is_on_top_and_shares_add_up():
    sheet = counted(two_services(), "service", all_flows=True)
    assert [row[0] for row in sheet.cells] == ["shop/web:http", "(unknown)"]
    assert [row[-1].split()[-1] for row in sheet.cells] == ["75%", "25%"]


def test_a_group_with_failed_flows_stands_out():
    pipeline = two_services()
    refuse(pipeline, 2.0)
    sheet = counted(pipeline, "service")
    assert (sheet.cells[0][4], sheet.tones) == ("1", (Tone.BAD,))


def test_a_filter_comes_first():
    assert counted(two_services(), "service", filter="port=40001").cells[0][1] == "1"


def test_nothing_is_counted_of_nothing():
    assert [counted(traced(), group).count for group in ("service", "client", "node")] == [0, 0, 0]
