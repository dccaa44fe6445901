"""Files become batches in order of time, whatever order their packets are in."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import itertools
import os
import random
import sys

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP

from tests.tracer.capture_file.blocks import block, classic, enhanced, interface, option, section
from tracer.capture_file.blocks import LOCAL
from tracer.errors import InputError
from tracer.events import Flag, Origin, stacked
from tracer.sources.capture import CaptureSource

MICROSECONDS = 0xA1B2C3D4
SECOND = 10**9


def udp(number: int) -> bytes:
    return bytes(IP(src="10.0.0.1", dst="10.0.0.2", ttl=9) / UDP(sport=number, dport=53))


def capture(tmp_path, name, times, *, options=b"", tail=b""):
    """A pcapng with one packet at each microsecond, numbered by it."""
    packets = b"".join(enhanced(time, udp(time)) for time in times)
    path = tmp_path / name
    path.write_bytes(section() + interface(options=options) + packets + tail)
    return path


def batches_of(*paths, **options):
    source = CaptureSource(paths, **options)
    source.open()
    try:
        batches = []
        while (batch := source.read(1.0)) is not None:
            batches.append(batch)
        assert source.read(1.0) is None
        return batches
    finally:
        source.close()
        source.close()


def ports(batches):
    return [port for batch in batches for port in batch.records["src_port"].tolist()]


def test_one_file(tmp_path):
    batches = batches_of(capture(tmp_path, "a", [1, 2, 5], options=option("<", 2, b"eth0")))
    (batch,) = batches
    assert batch.records["time_ns"].tolist() == [1000, 2000, 5000]
    assert batch.until_ns == 5000
    assert list(batch.interfaces.values()) == ["eth0"]
    assert set(batch.records["ifindex"].tolist()) == set(batch.interfaces)
    assert (batch.origin, batch.damaged, bool(batch.lost)) == (Origin.PACKETS, 0, False)
    assert [batch.packets.packet(row) for row in range(3)] == [udp(1), udp(2), udp(5)]


def test_several_files_are_merged_by_time(tmp_path):
    paths = [
        capture(tmp_path, name, range(n, 900, 3)) for n, name in ((1, "a"), (2, "b"), (3, "c"))
    ]
    batches = batches_of(*paths, batch_packets=100)
    assert ports(batches) == list(range(1, 900))
    assert [len(batch.records) for batch in batches] == [100] * 8 + [99]
    until = [batch.until_ns for batch in batches]
    assert until == sorted(until)
    for batch, later in itertools.pairwise(batches):
        assert batch.until_ns <= later.records["time_ns"][0]
    for batch in batches:
        rows = range(len(batch.records))
        assert [batch.packets.packet(r) for r in rows] == [
            udp(n) for n in batch.records["src_port"]
        ]
    assert len({name for batch in batches for name in batch.interfaces}) == 3


@pytest.mark.parametrize("hold", [0, 10, 100])
def test_packets_out_of_order_are_put_in_order(tmp_path, monkeypatch, hold):
    monkeypatch.setattr("tracer.sources.capture._HOLD_PACKETS", hold)
    times = list(range(1, 500))
    random.Random(7).shuffle(times)
    assert ports(batches_of(capture(tmp_path, "a", times))) == list(range(1, 500))


def test_a_file_larger_than_a_segment(tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.capture_file.reader._SEGMENT_BYTES", 1000)
    monkeypatch.setattr("tracer.sources.capture._HOLD_PACKETS", 20)
    batches = batches_of(capture(tmp_path, "a", range(1, 500)))
    assert ports(batches) == list(range(1, 500))
    assert len(batches) > 10


def test_our_own_interface_numbers_come_back(tmp_path):
    own = option("<", 2, b"lo") + option("<", 3, b"ifindex 1 netns 4026531840")
    (batch,) = batches_of(capture(tmp_path, "a", [1], options=own))
    assert (batch.records["ifindex"][0], batch.records["netns"][0]) == (1, 4026531840)
    assert batch.records["flags"][0] == Flag.LOOPBACK
    assert batch.interfaces == {1: "lo"}


def test_gzip_whole_and_cut(tmp_path):
    plain = capture(tmp_path, "plain", range(1, 2000))
    packed = gzip.compress(plain.read_bytes())
    (tmp_path / "whole.gz").write_bytes(packed)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    assert ports(batches_of(tmp_path / "whole.gz")) == list(range(1, 2000))
    batches = batches_of(tmp_path / "cut.gz")
    found = ports(batches)
    assert 100 < len(found) < 1999
    assert found == list(range(1, len(found) + 1))
    assert sum(batch.damaged for batch in batches) in (1, 2)


def test_zstd_is_refused_with_a_remedy_where_python_cannot_read_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.capture_file.stream._ZSTD_MODULES", ("no_such_module",))
    path = tmp_path / "a.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    with pytest.raises(InputError, match="zstd -dc"):
        CaptureSource([path]).open()


def test_zstd_is_read_where_python_can(tmp_path):
    zstd = pytest.importorskip(
        "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    )
    plain = capture(tmp_path, "plain", range(1, 200))
    (tmp_path / "a.zst").write_bytes(zstd.compress(plain.read_bytes()))
    assert ports(batches_of(tmp_path / "a.zst")) == list(range(1, 200))


def packed_files(folder):
    """(suffix, bytes) of a small capture, packed in every way that is read."""
    plain = capture(folder, "plain", range(1, 6)).read_bytes()
    yield ".gz", gzip.compress(plain[:200]) + gzip.compress(plain[200:])
    with contextlib.suppress(ImportError):
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        zstd = importlib.import_module(name)
        yield ".zst", zstd.compress(plain[:200]) + zstd.compress(plain[200:])


def test_a_packed_file_cut_at_any_byte_gives_what_is_whole(tmp_path):
    for suffix, raw in packed_files(tmp_path):
        path = tmp_path / f"cut{suffix}"
        for size in range(len(raw)):
            path.write_bytes(raw[:size])
            try:
                batches = batches_of(path)
            except InputError as error:  # too little of it is there to know what it is
                if size > 120 or (size >= 4 and "breaks off" not in str(error)):
                    raise
                continue
            found = ports(batches)
            assert found == list(range(1, len(found) + 1))
            if len(found) < 5:
                assert sum(batch.damaged for batch in batches) in (1, 2)
        path.write_bytes(raw)
        assert ports(batches_of(path)) == [1, 2, 3, 4, 5]


def test_damage_behind_the_last_packet_is_told(tmp_path):
    batches = batches_of(capture(tmp_path, "a", [1], tail=b"\x06\0\0\0\x40\0\0\0cut"))
    assert sum(batch.damaged for batch in batches) == 1


def test_a_damaged_time_hides_nothing(tmp_path):
    options = option("<", 9, b"\x09")
    path = tmp_path / "a"
    times = [1, (1 << 63) - 1, 2, 1 << 63]
    packets = b"".join(enhanced(time, udp(n + 1)) for n, time in enumerate(times))
    path.write_bytes(section() + interface(options=options) + packets)
    batches = batches_of(path)
    assert ports(batches) == [1, 2, 3, 4]
    assert sum(batch.damaged for batch in batches) == 2
    assert max(batch.until_ns for batch in batches) == 2


def test_a_damaged_time_does_not_move_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.capture_file.reader._LEAST_WIDTH_BYTES", 1000)
    monkeypatch.setattr("tracer.capture_file.reader._SEGMENT_BYTES", 1000)
    day_us = 86_400 * 10**6
    packets = b"".join(
        enhanced(1000 * day_us + n + 10 * day_us * (n % 50 == 13), udp(n)) for n in range(1, 400)
    )
    path = tmp_path / "a"
    path.write_bytes(section() + interface() + packets)
    batches = batches_of(path, batch_packets=50)
    assert ports(batches) == list(range(1, 400))
    assert max(batch.until_ns for batch in batches) == (1000 * day_us + 399) * 1000
    assert sum(batch.damaged for batch in batches) == 8


def test_packets_without_ip_are_left_out(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(classic("<", MICROSECONDS, [(1, 0, udp(1)), (2, 0, b"noise"), (3, 0, udp(3))]))
    (batch,) = batches_of(path)
    assert batch.records["time_ns"].tolist() == [SECOND, 3 * SECOND]
    assert batch.packets.packet(1) == udp(3)
    assert list(batch.interfaces.values()) == ["a"]


def test_damage_before_any_interface_is_passed_over(tmp_path):
    path = tmp_path / "capture.pcapng"
    damaged = section() + block("<", LOCAL, bytes(8)) + b"\xff" * 64
    path.write_bytes(damaged + section() + interface() + enhanced(5, udp(1)))
    assert ports(batches_of(path)) == [1]


def test_files_that_cannot_be_read(tmp_path):
    good = capture(tmp_path, "good", [1])
    for bad, why in ((tmp_path / "none", "No such file"), (tmp_path, "directory")):
        with pytest.raises(InputError, match=why):
            CaptureSource([good, bad]).open()
    with pytest.raises(InputError, match="no capture"):
        CaptureSource([]).open()


def test_a_pipe_is_handed_on_at_once(tmp_path):
    raw = capture(tmp_path, "a", [1, 2, 3]).read_bytes()
    end = len(section() + interface() + enhanced(1, udp(1)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    holder = os.open(pipe, os.O_RDWR)
    os.write(holder, raw[:end])
    source = CaptureSource([pipe])
    source.open()
    try:
        first = source.read(0)
        assert ports([first]) == [1]
        assert len(source.read(0).records) == 0
        os.write(holder, raw[end : end + 5])
        assert len(source.read(0).records) == 0
        os.write(holder, raw[end + 5 :])
        assert ports([source.read(0)]) == [2, 3]
        os.close(holder)
        assert source.read(0) is None
        assert np.all(first.records["ttl"] == 9)
    finally:
        source.close()


def test_without_bytes_batches_are_full_and_tell_the_same(tmp_path):
    path = capture(tmp_path, "a", [3, 1, 2, 9, 5, 4, 7])
    kept, told = batches_of(path), batches_of(path, batch_packets=3, keeps_bytes=False)
    assert all(batch.packets is not None for batch in kept)
    assert [len(batch.records) for batch in told] == [3, 3, 1]
    assert all(batch.packets is None for batch in told)
    assert stacked([batch.rows for batch in told]).tobytes() == stacked([kept[0].rows]).tobytes()
