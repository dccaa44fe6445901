"""Rows kept field by field read as the structured array does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import packet
from tracer.events import EVENT, as_rows, no_records, picked, stacked
from tracer.fields import Fields

LAYOUT = np.dtype([("port", ">u2"), ("ends", "<u8", (2,)), ("flag", "u1")])


def made(count):
    rows = np.zeros(count, dtype=LAYOUT)
    rows["port"], rows["ends"] = np.arange(count) + 300, np.arange(count * 2).reshape(-1, 2)
    fields = Fields(LAYOUT, count, "port")
    fields["port"], fields["ends"] = rows["port"], rows["ends"]
    return rows, fields


@given(st.integers(0, 9), st.data())
def test_picked_rows_and_parts_of_them(count, data):
    rows, fields = made(count)
    for _ in range(3):
        step = data.draw(st.sampled_from(["mask", "numbers", "part"]))
        chosen = np.array(
            data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
        )
        chosen = chosen.astype(np.bool_)
        if step == "part":
            first, last = sorted(data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
            rows, fields = rows[first:last], fields[first:last]
        else:
            chosen = chosen if step == "mask" else np.flatnonzero(chosen)[::-1]
            rows, fields = rows[chosen], fields.rows(chosen)
    assert len(fields) == len(rows)
    assert fields.structured().tobytes() == rows.tobytes()
    assert (fields["flag"] == 0).all()


def test_what_is_written_to_picked_rows_stays_there():
    rows, fields = made(4)
    some = fields.rows(np.array([2, 1]))
    some["port"] = np.array([7, 8])
    some["flag"] = some["flag"] | np.uint8(1)
    assert some["port"].tolist() == [7, 8]
    assert some["flag"].tolist() == [1, 1]
    assert fields.structured().tobytes() == rows.tobytes()


def test_a_part_shares_memory():
    _, fields = made(4)
    fields[1:3]["port"][0] = 9
    assert fields["port"].tolist() == [300, 9, 302, 303]


def test_whole_rows_are_put_in_their_places():
    rows, fields = made(4)
    other = np.zeros(2, dtype=LAYOUT)
    other["port"], other["flag"] = (5, 6), (1, 0)
    fields.put(np.array([3, 0]), other)
    rows[[3, 0]] = other
    assert fields.structured().tobytes() == rows.tobytes()


@pytest.mark.parametrize("bulk", [True, False])
def test_records_of_both_kinds_are_picked_and_stacked(bulk):
    rows = stacked([packet(1, f"10.0.0.1:{port}", "10.0.0.2:80") for port in (1, 2, 3)])
    fields = Fields(EVENT, 3)
    fields.put(np.arange(3), rows)
    parts = [picked(fields, np.array([2])), no_records(), fields if bulk else rows]
    joined = stacked(parts)
    assert isinstance(joined, Fields) == bulk
    assert as_rows(joined)["src_port"].tolist() == [3, 1, 2, 3]
    assert as_rows(joined).tobytes() == stacked([rows[2:], rows]).tobytes()
