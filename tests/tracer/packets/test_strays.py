"""Damaged times are told from real gaps, whatever pieces they come in."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.packets import Strays
from tracer.packets.strays import FAR_NS, JUMP_NS

S = 10**9
DAY = 86_400 * S
BEGIN = 1_700_000_000 * S


def settled(times, points=None, pieces=()):
    """(times, how many were astray), given in pieces; what cannot be judged is given again."""
    strays, done = Strays(), []
    waiting = np.zeros(0, dtype=np.int64)
    number = np.zeros(len(times), dtype=np.uint32) if points is None else np.array(points)
    cuts = [0, *sorted(pieces), len(times)]
    for begin, end in itertools.pairwise(cuts):
        part = np.concatenate([waiting, np.array(times[begin:end], dtype=np.int64)])
        held = strays.settle(part, number[end - len(part) : end], final=end == len(times))
        done += part[: len(part) - held].tolist()
        waiting = part[len(part) - held :]
    return done, strays.found


def steady(count, begin=BEGIN):
    return [begin + n * S for n in range(count)]


@pytest.mark.parametrize("wrong", [BEGIN + 400 * DAY, 0, BEGIN + 2 * JUMP_NS, (1 << 63) - 1, -5])
@pytest.mark.parametrize("at", [1, 10, 19])
def test_a_time_that_comes_back_was_none(wrong, at):
    times = steady(20)
    times[at] = wrong
    expected = steady(20)
    expected[at] = expected[at - 1]
    if at == 19 and abs(wrong - BEGIN) <= FAR_NS:
        assert settled(times) == (times, 0)
    else:
        assert settled(times) == (expected, 1)


def test_the_first_packets_may_be_astray_too():
    times = [5, *steady(20)]
    found, astray = settled(times)
    assert astray == 1
    assert min(found) >= BEGIN


@pytest.mark.parametrize("gap", [2 * JUMP_NS, 3 * DAY, 400 * DAY])
def test_a_real_gap_goes_on(gap):
    times = steady(20) + steady(20, BEGIN + gap)
    assert settled(times) == (times, 0)


def test_few_packets_with_gaps_are_believed():
    times = [BEGIN + n * 300 * S for n in range(40)]
    assert settled(times) == (times, 0)


def test_several_in_a_row_may_be_astray():
    times = steady(30)
    times[10:15] = [7, 1 << 62, 9, BEGIN + 9 * DAY, 3]
    found, astray = settled(times)
    assert astray == 5
    assert found[10:15] == [times[9]] * 5


def test_capture_points_may_have_clocks_of_their_own():
    times = [BEGIN + n * S + (n % 2) * 3600 * S for n in range(200)]
    points = [n % 2 for n in range(200)]
    assert settled(times, points, pieces=[50, 100]) == (times, 0)


def test_a_quiet_capture_point_holds_nothing_up():
    times = steady(4000)
    points = [int(n % 400 == 0) for n in range(4000)]
    strays = Strays()
    held = strays.settle(np.array(times), np.array(points, dtype=np.uint32), final=False)
    assert held <= 64


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 30 * S), min_size=60, max_size=90),
    st.dictionaries(st.integers(10, 45), st.integers(-(1 << 63), (1 << 63) - 1), max_size=3),
    st.lists(st.integers(1, 89), max_size=3),
)
def test_pieces_make_no_difference_and_good_times_stay(steps, wrong, pieces):
    good = (BEGIN + np.cumsum(steps)).tolist()
    times = [wrong.get(n, time) for n, time in enumerate(good)]
    found, astray = settled(times, pieces=[cut for cut in pieces if cut < len(times)])
    assert astray <= len(wrong)
    assert len(found) == len(times)
    for n, (time, was) in enumerate(zip(found, good, strict=True)):
        assert n in wrong or time == was
        assert abs(time - was) <= JUMP_NS * 2
