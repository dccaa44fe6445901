"""Finished sources side by side: time goes forward, and nobody is told it has come too far."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import START, batch, join, packet, record
from tests.tracer.capture_file.test_writer import batch_of
from tracer.errors import InputError
from tracer.events import EventBatch, Hook, Loss, Origin
from tracer.sources.merge import MergedSource


class Listed:
    """A source that has its batches beforehand."""

    name = "listed"

    def __init__(self, *batches: EventBatch, fails: bool = False):
        self._batches, self._fails = list(batches), fails
        self.is_open = False

    def problems(self):
        return []

    def open(self):
        if self._fails:
            raise InputError("unreadable")
        self.is_open = True

    def read(self, timeout):
        return self._batches.pop(0) if self._batches else None

    def close(self):
        self.is_open = False


def events(*seconds: float, until: float | None = None, **more) -> EventBatch:
    rows = [record(Hook.CT_NEW, at, "10.0.0.1:1", "10.0.0.2:2") for at in seconds]
    return batch(*rows, until=seconds[-1] if until is None else until, **more)


def packets(*seconds: float) -> EventBatch:
    rows = [packet(at, "10.0.0.1:1", "10.0.0.2:2") for at in seconds]
    return batch(*rows, until=seconds[-1], origin=Origin.PACKETS)


def merged(*sources, slack_ns=0):
    source = MergedSource(sources, slack_ns)
    source.open()
    batches = list(iter(lambda: source.read(0), None))
    source.close()
    return batches


def story(batches):
    """(letter of the origin, seconds of the records) of each batch."""
    return [
        (each.origin.name[0], ((each.records["time_ns"] - START) / 1e9).tolist())
        for each in batches
    ]


def test_two_sources_take_turns():
    found = merged(Listed(events(1, 2, 5), events(7)), Listed(packets(3, 4, 6, 8)))
    assert story(found) == [
        ("K", [1, 2]),
        ("P", [3, 4]),
        ("K", [5]),
        ("P", [6]),
        ("K", [7]),
        ("P", [8]),
    ]
    assert [(each.until_ns - START) / 1e9 for each in found] == [3, 5, 5, 7, 7, 8]


def test_records_near_in_time_stay_together():
    near = merged(Listed(events(1, 1.002, 1.004)), Listed(packets(1.001, 1.003)), slack_ns=10**7)
    assert story(near) == [("K", [1, 1.002, 1.004]), ("P", [1.001, 1.003])]
    assert near[0].until_ns == START + 1_001_000_000


def test_what_else_a_batch_carries_is_told_once():
    told = events(1, 5, lost=Loss(kernel=3), damaged=2, texts={1: "no route"}, interfaces={2: "a"})
    found = merged(Listed(told), Listed(packets(3)))
    assert [each.lost.kernel for each in found] == [3, 0, 0]
    assert [each.damaged for each in found] == [2, 0, 0]
    assert [dict(each.texts) for each in found] == [{1: "no route"}, {}, {}]
    assert [dict(each.interfaces) for each in found] == [{2: "a"}, {}, {}]


def test_bytes_stay_with_their_packets():
    whole = batch_of(10)
    middle = record(Hook.CT_NEW, 0.1234567935, "10.0.0.1:1", "10.0.0.2:2")
    middle["time_ns"] = whole.records["time_ns"][4]
    kernel = EventBatch(middle, Origin.KERNEL, int(middle["time_ns"][0]))
    found = [each for each in merged(Listed(kernel), Listed(whole)) if each.packets is not None]
    assert [len(each.records) for each in found] == [5, 5]
    again = [each.packets.packet(row) for each in found for row in range(5)]
    assert again == [whole.packets.packet(row) for row in range(10)]


def test_an_empty_batch_passes_and_waits_for_the_others():
    quiet = Listed(batch(until=9, lost=Loss(kernel=1)))
    found = merged(quiet, Listed(packets(1, 2)))
    assert [each.lost.kernel for each in found] == [1, 0]
    assert found[0].until_ns <= found[1].records["time_ns"][0]


def test_one_that_cannot_open_closes_the_others():
    first, second = Listed(), Listed(fails=True)
    with pytest.raises(InputError):
        MergedSource([first, second]).open()
    assert not first.is_open


def test_nothing_to_merge():
    assert merged() == []
    assert merged(Listed(), Listed()) == []


sorted_times = st.lists(st.integers(0, 1000), min_size=1, max_size=30).map(sorted)


@settings(max_examples=50, deadline=None)
@given(st.lists(sorted_times, min_size=1, max_size=4), st.sampled_from([0, 5, 100]))
def test_time_goes_forward_but_for_the_slack(times, slack):
    sources = []
    for each in times:
        rows = join(*[packet(0, "10.0.0.1:1", "10.0.0.2:2") for _ in each])
        rows["time_ns"] = np.array(each) + START
        cut = len(rows) // 2
        parts = [part for part in (rows[:cut], rows[cut:]) if len(part)]
        sources.append(
            Listed(*[EventBatch(p, Origin.PACKETS, int(p["time_ns"][-1])) for p in parts])
        )
    found = merged(*sources, slack_ns=slack)
    seen = np.concatenate([each.records["time_ns"] for each in found])
    assert sorted(seen.tolist()) == sorted(START + time for each in times for time in each)
    assert (seen >= np.maximum.accumulate(seen) - slack).all()
    for each, later in itertools.pairwise(found):
        assert each.until_ns <= later.until_ns
        assert each.until_ns <= later.records["time_ns"].min()
