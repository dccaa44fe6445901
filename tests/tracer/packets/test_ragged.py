"""Byte ranges move as a plain loop would move them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.events import EVENT
from tracer.packets import PacketQueue, Spans
from tracer.packets.ragged import copy_ranges, gather, joined, sliced, starts_of

HEADER = np.dtype([("a", ">u2"), ("b", "u1", (5,))])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=30), st.lists(st.integers(0, 40), max_size=8))
def test_gathered_rows_are_the_bytes_there_and_zeros_behind(data, offsets):
    rows = gather(np.frombuffer(data, dtype=np.uint8), np.array(offsets, dtype=np.int64), HEADER)
    padded = data + bytes(80)
    assert rows.tobytes() == b"".join(padded[at : at + 7] for at in offsets)


ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(ranges)
def test_copied_ranges_are_the_same_bytes(ranges):
    data = np.arange(100, dtype=np.uint8)
    starts = np.array([start for start, _ in ranges], dtype=np.int64)
    lengths = np.array([length for _, length in ranges], dtype=np.int64)
    into = starts_of(lengths)
    target = np.zeros(int(into[-1]), dtype=np.uint8)
    copy_ranges(data, starts, lengths, target, into[:-1])
    assert target.tobytes() == b"".join(bytes(range(at, at + size)) for at, size in ranges)


def packets(*sizes):
    lengths = np.array(sizes, dtype=np.int64)
    data = np.arange(int(lengths.sum()), dtype=np.uint8)
    links = np.ones(len(sizes), dtype=np.uint16)
    return Spans(data, starts_of(lengths)[:-1], lengths, lengths.astype(np.uint32), links).packed()


def texts(batch):
    return [batch.packet(row) for row in range(len(batch.link_types))]


def test_slices_and_joints_keep_each_packet():
    whole = packets(3, 0, 5, 1)
    parts = [sliced(whole, 0, 2), sliced(whole, 2, 4)]
    assert texts(parts[1]) == texts(whole)[2:]
    assert texts(joined(parts)) == texts(whole)
    assert texts(joined([whole, whole])) == texts(whole) * 2


def test_a_queue_gives_rows_back_by_time_with_their_bytes():
    queue = PacketQueue()
    for times in ([5, 1], [3], []):
        records = np.zeros(len(times), dtype=EVENT)
        records["time_ns"] = times
        queue.add(records, packets(*times))
    assert (len(queue), queue.time_ns(0), queue.time_ns(-1)) == (3, 1, 5)
    records, bytes_behind = queue.take_until(3)
    assert records["time_ns"].tolist() == [1, 3]
    assert [len(packet) for packet in texts(bytes_behind)] == [1, 3]
    records, _ = queue.take(9)
    assert records["time_ns"].tolist() == [5]
    assert len(queue) == 0
    assert records.dtype == EVENT


def test_a_queue_takes_rows_across_what_was_put_in():
    queue = PacketQueue(keeps_bytes=False)
    for times in ([1, 2], [2, 4], [6, 7], [3, 5]):
        records = np.zeros(len(times), dtype=EVENT)
        records["time_ns"] = times
        queue.add(records, None)
    assert [queue.time_ns(row) for row in (0, 3, -2)] == [1, 3, 6]
    records, packets = queue.take(3)
    assert (records["time_ns"].tolist(), packets) == ([1, 2, 2], None)
    assert queue.take_until(6)[0]["time_ns"].tolist() == [3, 4, 5, 6]
    assert queue.take(0)[1] is None
