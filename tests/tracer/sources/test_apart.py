"""A capture read by another process tells the same, and its faults are told here."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest

from bench.captures import write
from bench.traffic import Recipe, traffic
from tracer.errors import InputError, UnableError
from tracer.events import stacked
from tracer.pairing import Pairer
from tracer.sources import apart
from tracer.sources.apart import Apart
from tracer.sources.capture import CaptureSource
from tracer.sources.slots import SLOT_BYTES

# NumPy's idle threads, which viptrace itself does not start, are threads to Python 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("apart") / "a.pcapng"
    write(path, traffic(Recipe(connections=300, seconds=1.0)))
    return path


def started(path, batch_packets=1000):
    return Apart(CaptureSource([path], batch_packets, keeps_bytes=False), Pairer(seed=5))


def all_of(source):
    """Every batch that holds packets; what was looked at stays so: each has a slot of its own."""
    batches = []
    while (batch := source.read(5.0)) is not None:
        batches.append(batch)
    return batches


def beside(path, batch_packets=1000):
    source, pairer = CaptureSource([path], batch_packets, keeps_bytes=False), Pairer(seed=5)
    source.open()
    batches = all_of(source)
    source.close()
    pairs = [pairer.feed(batch.records, batch.until_ns) for batch in batches]
    return batches, stacked([*pairs, pairer.finish()])


def test_packets_and_pairs_are_those_of_a_reader_in_this_process(capture, monkeypatch):
    monkeypatch.setattr(apart, "_PATIENCE_S", 0.01)
    expected, pairs = beside(capture)
    source = started(capture)
    try:
        source.open()
        batches = all_of(source)
        assert len(batches) == len(expected) > apart._SLOTS
        for mine, theirs in zip(batches, expected, strict=True):
            assert mine.records.structured().tobytes() == theirs.records.structured().tobytes()
            assert (mine.until_ns, mine.origin) == (theirs.until_ns, theirs.origin)
            assert mine.interfaces == theirs.interfaces
        told = stacked([*(batch.pairs for batch in batches), source.finish()])
        assert len(told) > 100
        assert np.asarray(told).tobytes() == np.asarray(pairs).tobytes()
        assert source.read(0.0) is None
    finally:
        source.close()


def test_slots_are_used_again(capture, monkeypatch):
    monkeypatch.setattr(apart, "_PATIENCE_S", 30.0)
    source, packets = started(capture), 0
    try:
        while (batch := source.read(5.0)) is not None:
            packets += len(batch.records)
            assert os.fstat(source._slots._file).st_size <= apart._SLOTS * SLOT_BYTES
    finally:
        source.close()
    assert packets == sum(len(batch.records) for batch in beside(capture)[0])


def test_what_cannot_be_read_is_said_here(tmp_path):
    path = tmp_path / "text"
    path.write_text("no capture, but long enough to be looked at")
    source = started(path)
    try:
        with pytest.raises(InputError, match="cannot read") as told:
            source.read(5.0)
        assert told.value.why == "it is neither pcap nor pcapng"
        assert told.value.remedy
    finally:
        source.close()


def test_a_process_that_is_ended_is_an_error_and_not_an_end(capture):
    source = started(capture, batch_packets=10)
    try:
        (process,) = multiprocessing.active_children()
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(UnableError, match="ended before it was done") as told:
            all_of(source)
        assert "-9" in told.value.why
    finally:
        source.close()


def test_nobody_waits_for_a_process_that_is_not_needed_any_more(capture):
    source = started(capture, batch_packets=10)
    assert source.read(5.0) is not None
    source.close()
    source.close()
    assert multiprocessing.active_children() == []
