"""Two captures of the same packets tell how far their clocks are apart, or that they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import join, packet
from tracer.packets.shared import Sketch, offset_between

CLIENT, SERVER = "10.0.0.1:{port}", "10.0.0.2:80"
MS = 1_000_000


def talk(connections, *, first=1000, answers=True):
    """Packets of handshakes, ten milliseconds apart, the same whenever they are made."""
    rows = []
    for number in range(connections):
        client, begin = CLIENT.format(port=first + number), 1 + number / 10
        rows.append(packet(begin, client, SERVER, "S", seq=number * 7 + 1))
        if answers:
            rows.append(packet(begin + 0.01, SERVER, client, "SA", seq=number * 11 + 5))
        rows.append(packet(begin + 0.02, client, SERVER, "A", seq=number * 7 + 2))
    return join(*rows)


def seen(records, *, ahead_ns=0, way_ns=0, jitter_ns=0):
    """As captured elsewhere: later on the way out, earlier on the way back, by another clock."""
    records = records.copy()
    out = records["dst_port"] == 80
    noise = np.random.default_rng(3).integers(-jitter_ns, jitter_ns + 1, len(records))
    records["time_ns"] += ahead_ns + np.where(out, way_ns, -way_ns) + noise
    return records


def sketch(*parts, **options):
    made = Sketch(**options)
    for part in parts:
        made.add(part)
    return made


@settings(max_examples=25, deadline=None)
@given(st.integers(-(10**15), 10**15), st.integers(0, 3 * MS))
def test_both_directions_tell_the_offset_from_the_way(ahead_ns, way_ns):
    here = talk(20)
    found = offset_between(sketch(here), sketch(seen(here, ahead_ns=ahead_ns, way_ns=way_ns)))
    assert abs(found.offset_ns - ahead_ns) <= 1
    assert abs(found.way_ns - way_ns) <= 1
    assert (found.shared, found.agreed, found.both_ways) == (60, True, True)
    assert found.is_certain == (abs(found.offset_ns) > found.way_ns + 10_000)


def test_one_clock_stays_one_clock():
    here = talk(40)
    found = offset_between(sketch(here), sketch(seen(here, way_ns=200_000, jitter_ns=50_000)))
    assert not found.is_certain


@pytest.mark.parametrize(("ahead_ns", "certain"), [(20 * MS, False), (90 * MS, True)])
def test_one_direction_tells_only_what_is_longer_than_a_way(ahead_ns, certain):
    here = talk(20, answers=False)
    found = offset_between(sketch(here), sketch(seen(here, ahead_ns=ahead_ns)))
    assert (found.both_ways, found.is_certain) == (False, certain)


def test_a_clock_that_was_set_meanwhile_is_not_agreed_about():
    here = talk(30)
    there = seen(here, ahead_ns=5 * 10**9)
    there["time_ns"][60:] += np.arange(30) * 10**9
    there["time_ns"][:45] -= np.arange(45) * 10**9
    found = offset_between(sketch(here), sketch(there))
    assert not found.agreed
    assert not found.is_certain


def test_strangers_share_nothing():
    assert offset_between(sketch(talk(50)), sketch(talk(50, first=9000))) is None
    assert offset_between(sketch(), sketch()) is None


def test_what_is_sent_again_much_later_tells_nothing():
    here = talk(20)
    again = here.copy()
    again["time_ns"] += 10**10
    assert offset_between(sketch(here, again), sketch(here)) is None


def test_what_several_interfaces_saw_is_one_packet():
    here = talk(20)
    twice = seen(here, ahead_ns=MS)
    found = offset_between(sketch(here), sketch(twice, seen(twice, ahead_ns=100_000)))
    assert (found.offset_ns, found.shared) == (MS, 60)


def test_a_sketch_keeps_the_same_conversations_of_both():
    here = talk(3000)
    there = seen(here, ahead_ns=10**9)[::-1]
    one, other = sketch(here, most_kept=300), sketch(there, most_kept=300)
    assert len(one.sights()) <= 300
    found = offset_between(one, other)
    assert found.shared >= 250
    assert abs(found.offset_ns - 10**9) <= 1
