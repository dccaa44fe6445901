"""Kernel records to a file and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.builders import START, batch, join, mapping, packet
from tracer.errors import InputError
from tracer.events import EVENT, Origin
from tracer.sinks.events_file import EventsWriter
from tracer.sources.events_file import EventsSource

CLIENT, VIRTUAL, BACKEND = "10.0.0.1:40000", "10.96.0.10:53", "10.244.0.5:53"


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "events.npy", tmp_path / "texts.json"


def mappings(*seconds):
    return [mapping(at, CLIENT, VIRTUAL, BACKEND) for at in seconds]


def bytes_of(*rows):
    return b"".join(row.tobytes() for row in rows)


def written(paths, *batches):
    writer = EventsWriter(*paths)
    for each in batches:
        writer.append(each)
    writer.close()
    writer.close()


def read(*arguments, **options):
    source = EventsSource(*arguments, **options)
    source.open()
    batches = list(iter(lambda: source.read(0), None))
    source.close()
    return batches


def test_records_come_back_sorted_and_in_batches(paths):
    rows = mappings(3, 1, 2, 5, 4)
    written(paths, batch(*rows[:2], texts={1: "no route"}), batch(*rows[2:], texts={2: "tc 가"}))
    found = read(*paths, batch_records=2)
    assert [len(each.records) for each in found] == [2, 2, 1]
    assert bytes_of(*[each.records for each in found]) == bytes_of(*mappings(1, 2, 3, 4, 5))
    assert [(each.until_ns - START) // 10**9 for each in found] == [2, 4, 5]
    assert [dict(each.texts) for each in found] == [{1: "no route", 2: "tc 가"}, {}, {}]
    assert {each.origin for each in found} == {Origin.KERNEL}


def test_packets_are_left_to_the_capture(paths):
    written(paths, batch(*mappings(1), packet(2, CLIENT, VIRTUAL)))
    assert len(read(*paths)[0].records) == 1


def test_only_the_two_files_remain(paths):
    written(paths, batch(*mappings(1)))
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)


def test_no_records_are_no_batches(paths):
    written(paths, batch())
    assert read(*paths) == []


def test_what_is_stored_needs_no_pickle_and_is_plain(paths):
    written(paths, batch(*mappings(1), texts={7: "x"}))
    stored = np.load(paths[0], allow_pickle=False)
    assert stored.dtype == EVENT
    assert json.loads(paths[1].read_text()) == {"7": "x"}


def test_an_unsorted_file_of_another_layout_is_matched_by_name(paths):
    layout = [(name, EVENT[name]) for name in reversed(EVENT.names) if name != "cookie"]
    rows = join(*mappings(2, 1))
    other = np.zeros(2, dtype=[*layout, ("unheard_of", "<u4")])
    for name, _ in layout:
        other[name] = rows[name]
    np.save(paths[0], other)
    (found,) = read(paths[0])
    assert found.records.tobytes() == bytes_of(*mappings(1, 2))


@pytest.mark.parametrize(
    "stored",
    [
        np.arange(5),
        np.zeros(3, dtype=[("time_ns", "<i8")]),
        np.zeros((2, 2), dtype=EVENT),
        np.zeros(2, dtype=[(n, "<f8") for n in EVENT.names]),
    ],
    ids=["numbers", "too few columns", "two dimensions", "other kinds"],
)
def test_other_arrays_are_refused(paths, stored):
    np.save(paths[0], stored)
    with pytest.raises(InputError, match=r"column|records"):
        read(paths[0])


def test_objects_files_and_texts_that_cannot_be_read(paths):
    np.save(paths[0], np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError):
        read(paths[0])
    with pytest.raises(InputError, match="none"):
        read(paths[0].with_name("none"))
    written(paths, batch(*mappings(1)))
    for bad in ("{", "[]", '{"x": "y"}'):
        paths[1].write_text(bad)
        with pytest.raises(InputError, match=r"texts\.json"):
            read(*paths)
