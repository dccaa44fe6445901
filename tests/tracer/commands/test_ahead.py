"""Large plain captures are read by a process of their own; nothing else is."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets

import pytest

from bench.captures import write
from bench.traffic import Recipe, traffic
from tracer.cli import run
from tracer.commands import ahead
from tracer.commands.ahead import read_ahead

# NumPy's idle threads, which viptrace itself does not start, are threads to Python 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("ahead") / "a.pcapng"
    write(path, traffic(Recipe(connections=200, seconds=40.0)))
    return path


@pytest.fixture
def large(monkeypatch):
    """Every file is large enough, and there are processors enough."""
    monkeypatch.setattr(ahead, "LARGE_BYTES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def lines_of(capsys, *arguments):
    code = run(["replay", "--json", "--no-cluster", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert multiprocessing.active_children() == []
    return code, [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize("call", ["fork", "memfd_create"])
def test_where_no_process_is_allowed_a_thread_reads(capture, capsys, large, monkeypatch, call):
    def refused(*_: object) -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, call, refused)
    assert read_ahead(capture) is None
    code, lines, _ = lines_of(capsys, capture)
    assert code == 0
    assert len(lines) > 50


def test_a_mistake_found_later_ends_the_process(capture, capsys, large, tmp_path):
    code = run(["replay", "--json", "--cluster", str(tmp_path / "none"), str(capture)])
    assert code == 2
    assert multiprocessing.active_children() == []


def test_a_small_file_is_not_worth_it(capture):
    assert capture.stat().st_size < ahead.LARGE_BYTES
    assert read_ahead(capture) is None


def test_one_processor_cannot_do_two_things(capture, large, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert read_ahead(capture) is None


def test_captures_beside_kernel_records_are_not_paired(capture, large):
    events = capture.with_name("events.npy")
    events.touch()
    try:
        assert read_ahead(capture) is None
    finally:
        events.unlink()


def test_a_recording_and_what_is_no_file_are_left_alone(large, tmp_path):
    path = tmp_path / "run.pcapng"
    path.write_bytes(bytes.fromhex("0a0d0d0a1c000000") + bytes(20) + bytes.fromhex("54505680"))
    assert read_ahead(path) is None
    assert read_ahead(tmp_path) is None


@pytest.mark.parametrize("chosen", [(), ("--all-flows",), ("proto=udp",)])
def test_lines_are_the_same(capture, capsys, chosen, monkeypatch):
    # Which conversations share a slot, and the order of rows, hang on the secret seeds.
    monkeypatch.setattr(secrets, "randbits", lambda _: 0x1234567890ABCDEF)
    arguments = (*chosen[:1], capture) if "--all-flows" in chosen else (capture, *chosen)
    expected = lines_of(capsys, *arguments)
    assert len(expected[1]) > 50
    monkeypatch.setattr(ahead, "LARGE_BYTES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert read_and_closed(capture)
    assert lines_of(capsys, *arguments) == expected


def read_and_closed(path):
    found = read_ahead(path)
    if found is not None:
        found.source.close()
    return found is not None


def test_what_is_no_capture_is_the_same_error(tmp_path, capsys, large):
    path = tmp_path / "text"
    path.write_text("no capture, but long enough to be looked at")
    code, lines, err = lines_of(capsys, path)
    assert (code, lines) == (2, [])
    assert "it is neither pcap nor pcapng" in err
