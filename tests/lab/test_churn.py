"""What a long run must not show."""

from __future__ import annotations

from dataclasses import replace

from lab.churn import Outcome, Sample, series

STEADY = Sample(0.0, 100_000, 9, 6, 0.0, 1000, 0, 0, 0, 0)


def outcome(count: int = 40, made: int = 400, **growing: int) -> Outcome:
    """Samples whose fields grow by so much each."""
    samples = [
        replace(
            STEADY, at_s=n * 10.0, **{k: getattr(STEADY, k) + n * v for k, v in growing.items()}
        )
        for n in range(count)
    ]
    samples[-1] = replace(samples[-1], translations=400, made=made)
    return Outcome(tuple(samples), 130, {})


def test_a_steady_run_has_no_faults():
    assert outcome().faults() == []
    assert outcome(made=399).faults() == [], "one was under way when the client was stopped"


def test_growth_is_a_fault():
    assert "memory grew" in outcome(rss_kb=1000).faults()[0]
    assert "descriptors grew" in outcome(descriptors=1).faults()[0]
    assert outcome(rss_kb=10).faults() == []


def test_counters_must_agree_and_nothing_be_lost():
    assert "translations of 500" in outcome(made=500).faults()[0]
    assert "records lost" in outcome(lost=1).faults()[0]


def test_a_run_of_a_minute_proves_nothing():
    assert outcome(count=5).faults() == ["too few samples"]


def test_series_are_read_with_their_labels():
    text = '# HELP x y\nviptrace_flows 7.0\nviptrace_lost_total{where="kernel"} 1e+02\n'
    assert series(text) == [
        ("viptrace_flows", "", 7.0),
        ("viptrace_lost_total", 'where="kernel"', 100.0),
    ]


def test_the_table_has_a_row_every_ten_minutes_and_one_for_the_end():
    rows = [line.split("|")[1].strip() for line in outcome(count=140, rss_kb=1).table()]
    assert rows == ["after", "---", "0 min", "10 min", "20 min", "23 min"]
