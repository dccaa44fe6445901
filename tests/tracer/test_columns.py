from __future__ import annotations

import numpy as np

from tests.builders import batch, mapping
from tests.tracer.shown import connect, traced, untranslated
from tracer.address import column as address_column
from tracer.address import parse
from tracer.cells import Gathered, count_text, duration_text
from tracer.columns import BY_NAME, COLUMNS, JSON_COLUMNS, LINE_COLUMNS, SCREEN_COLUMNS
from tracer.flow import FLOW
from tracer.naming import naming_of


def texts(pipeline, name: str) -> list[str]:
    flows = Gathered(pipeline.table.flows, pipeline.table.alive())
    return BY_NAME[name].text(flows, naming_of(pipeline))


def test_every_column_says_what_it_is_and_is_used():
    assert len(BY_NAME) == len(COLUMNS)
    for column in COLUMNS:
        assert column.title
        assert column.help
        assert column.text or column.json
        assert (column in LINE_COLUMNS) <= (column.text is not None)
        assert (column in SCREEN_COLUMNS) <= (column.text is not None)
        assert column in JSON_COLUMNS or column in LINE_COLUMNS or column in SCREEN_COLUMNS


def test_every_column_has_one_value_for_each_row():
    pipeline = traced()
    connect(pipeline, 1.0, count=3)
    untranslated(pipeline, 1.0)
    flows = Gathered(pipeline.table.flows, pipeline.table.alive())
    naming = naming_of(pipeline)
    for column in COLUMNS:
        for part in (column.text, column.json, column.key):
            assert part is None or len(part(flows, naming)) == 4, column.name


def test_columns_of_no_rows_are_empty():
    naming = naming_of(traced())
    nothing = np.zeros(0, dtype=FLOW)
    for column in COLUMNS:
        for part in (column.text, column.json, column.key):
            assert part is None or len(part(nothing, naming)) == 0, column.name


def test_a_translated_flow_in_words():
    pipeline = traced()
    told = mapping(
        1, "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080", source="192.168.1.3:6"
    )
    pipeline.feed(batch(told, until=63))
    assert texts(pipeline, "service") == ["shop/web:http"]
    assert texts(pipeline, "kind") == ["ClusterIP"]
    assert texts(pipeline, "backend") == ["10.244.1.5:8080"]
    assert texts(pipeline, "backend_name") == ["shop/web-1"]
    assert texts(pipeline, "source_nat") == ["192.168.1.3:6"]
    assert texts(pipeline, "age") == ["1m02s"]


def test_what_was_not_changed_is_not_shown():
    pipeline = traced()
    untranslated(pipeline, 1.0)
    for name in ("backend", "source_nat", "service", "kind"):
        assert texts(pipeline, name) == [""]


def test_addresses_are_ordered_as_numbers_ipv4_first():
    hosts = ["fd00::2", "10.0.0.10", "fd00::1", "10.0.0.9", "10.0.0.9"]
    ports = [1, 1, 1, 70, 8]
    flows = np.zeros(5, dtype=FLOW)
    flows["client"] = address_column(map(parse, hosts))
    flows["client_port"] = ports
    flows["family"] = [10, 2, 10, 2, 2]
    keys = BY_NAME["client"].key(flows, naming_of(traced()))
    ordered = [(hosts[row], ports[row]) for row in np.argsort(keys, kind="stable")]
    assert ordered == [
        ("10.0.0.9", 8),
        ("10.0.0.9", 70),
        ("10.0.0.10", 1),
        ("fd00::1", 1),
        ("fd00::2", 1),
    ]


def test_rows_without_a_name_come_after_those_with_one():
    pipeline = traced()
    untranslated(pipeline, 1.0)
    connect(pipeline, 1.0)
    flows = Gathered(pipeline.table.flows, pipeline.table.alive())
    keys = BY_NAME["service"].key(flows, naming_of(pipeline))
    assert keys[0] > keys[1]


def test_spans_and_counts_in_few_characters():
    second = 1_000_000_000
    spans = [-5, second // 5, 45 * second, 190 * second, 7500 * second, 98 * 3600 * second]
    assert [duration_text(span) for span in spans] == [
        "0.0s",
        "0.2s",
        "45s",
        "3m10s",
        "2h05m",
        "4d02h",
    ]
    assert [count_text(n) for n in (999, 9999, 12_340, 4_500_000, 6_700_000_000)] == [
        "999",
        "9999",
        "12.3k",
        "4.5M",
        "6.7G",
    ]


def test_a_rate_is_of_both_directions_over_the_time_it_was_seen():
    flows = np.zeros(5, dtype=FLOW)
    flows["first_ns"] = 1_000_000_000
    flows["last_ns"] = flows["first_ns"] + np.array([2_000_000_000, 10**9, 10**6, 999_999, 10**9])
    flows["packets"] = [(3, 2), (20_000, 4_000), (1, 1), (5, 5), (0, 0)]
    column = BY_NAME["rate"]
    assert column.text(flows, None) == ["2.5", "24.0k", "2000", "", ""]
    assert column.key(flows, None).tolist() == [2500, 24_000_000, 2_000_000, 0, 0]
