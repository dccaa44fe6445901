"""Files of two machines: their clocks are compared, put right, and told."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP

from tests.tracer.capture_file.blocks import classic
from tracer.cli import run

MICROSECONDS = 0xA1B2C3D4
BEGIN_US = 1_700_000_000 * 10**6
WAY_US = 300


def talk(count=10):
    """(microseconds, towards the server, packet) of connections."""
    for number in range(count):
        client = {"src": "10.0.0.1", "dst": "10.0.0.2", "id": number + 1}
        server = {"src": "10.0.0.2", "dst": "10.0.0.1", "id": number + 9}
        ask = TCP(sport=1000 + number, dport=80, flags="S", seq=number + 7)
        answer = TCP(sport=80, dport=1000 + number, flags="SA", seq=3, ack=number + 8)
        yield number * 100_000, True, bytes(IP(**client) / ask)
        yield number * 100_000 + 5000, False, bytes(IP(**server) / answer)


def capture(path: Path, *, ahead_us=0, far=False, packets=None) -> str:
    """What one end sees; the ``far`` one later on the way out, earlier on the way back."""
    records = []
    for at, out, raw in packets or talk():
        way = (WAY_US if out else -WAY_US) if far else 0
        seconds, rest = divmod(BEGIN_US + at + ahead_us + way, 10**6)
        records.append((seconds, rest, raw))
    path.write_bytes(classic("<", MICROSECONDS, records))
    return str(path)


def replayed(capsys, *arguments) -> tuple[dict, list[dict]]:
    """(summary, translations) of a replay."""
    assert run(["replay", "--json", "--no-cluster", "--all-flows", *arguments]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return lines[-1], [line for line in lines if line["type"] == "translation"]


def test_the_clock_that_is_ahead_is_put_right(tmp_path, capsys):
    one = capture(tmp_path / "a.pcap")
    other = capture(tmp_path / "b.pcap", ahead_us=90_000_000, far=True)
    summary, flows = replayed(capsys, one, other)
    first, second = summary["clocks"]
    assert (first["files"], first["ahead_s"], first["beside"]) == ([one], 0, None)
    assert (second["files"], second["beside"], second["shared_packets"]) == ([other], one, 20)
    assert second["ahead_s"] == pytest.approx(90, abs=1e-6)
    assert second["way_s"] == pytest.approx(WAY_US / 1e6, abs=1e-6)
    assert summary["duration_s"] < 2
    assert any("90.000000 s ahead of" in told for told in summary["degraded"])
    assert len(flows) == 10


def test_the_first_file_named_is_right(tmp_path, capsys):
    one = capture(tmp_path / "b.pcap", ahead_us=90_000_000, far=True)
    other = capture(tmp_path / "a.pcap")
    summary, _ = replayed(capsys, one, other)
    assert [clock["ahead_s"] for clock in summary["clocks"]] == [0, pytest.approx(-90, abs=1e-6)]
    assert any("behind that of" in told for told in summary["degraded"])


def test_it_can_be_left_alone_or_given(tmp_path, capsys):
    one = capture(tmp_path / "a.pcap")
    other = capture(tmp_path / "b.pcap", ahead_us=90_000_000, far=True)
    summary, _ = replayed(capsys, one, other, "--clock-offset", "off")
    assert summary["duration_s"] > 90
    assert not any("clock" in told for told in summary["degraded"])
    summary, _ = replayed(capsys, one, other, "--clock-offset", f"{other}=90")
    assert summary["duration_s"] < 2
    assert [clock["ahead_s"] for clock in summary["clocks"]] == [0, 90]


def test_three_clocks_are_compared_where_they_share(tmp_path, capsys):
    shared = list(talk())
    further = [
        (at, out, bytes(IP(src="10.9.0.1", dst="10.9.0.2", id=n) / UDP(dport=53) / b"question"))
        for n, (at, out, _) in enumerate(shared, 1)
    ]
    one = capture(tmp_path / "a.pcap", packets=shared)
    two = capture(tmp_path / "b.pcap", ahead_us=2_000_000, packets=[*shared, *further])
    three = capture(tmp_path / "c.pcap", ahead_us=5_000_000, packets=further)
    summary, _ = replayed(capsys, one, three, two)
    ahead = {Path(clock["files"][0]).name: clock["ahead_s"] for clock in summary["clocks"]}
    assert ahead == {"a.pcap": 0, "b.pcap": pytest.approx(2), "c.pcap": pytest.approx(5)}


def test_what_cannot_be_compared_is_told_where_it_matters(tmp_path, capsys):
    strange = [(at, out, bytes(IP(src="10.7.0.1") / UDP() / b"x")) for at, out, _ in talk()]
    one = capture(tmp_path / "a.pcap")
    beside = capture(tmp_path / "b.pcap", packets=strange)
    later = capture(tmp_path / "c.pcap", ahead_us=10**10, packets=strange)
    summary, _ = replayed(capsys, one, beside)
    assert sum("cannot be compared" in told for told in summary["degraded"]) == 1
    summary, _ = replayed(capsys, one, later)
    assert not any("clock" in told for told in summary["degraded"])


def test_a_pipe_is_read_once(tmp_path, capsys):
    one = capture(tmp_path / "a.pcap")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', one, str(pipe)]):
        summary, _ = replayed(capsys, one, str(pipe))
    assert summary["packets"] == 40
    assert [clock["shared_packets"] for clock in summary["clocks"]] == [0, 0]


@pytest.mark.parametrize("text", ["sometimes", "a.pcap=", "a.pcap=nan", "a.pcap=1e99"])
def test_what_is_no_offset(text, tmp_path, capsys):
    one = capture(tmp_path / "a.pcap")
    assert run(["replay", "--json", one, "--clock-offset", text]) == 2
    assert "worker-2.pcap=1.25" in capsys.readouterr().err


def test_an_offset_of_another_file_is_an_error(tmp_path, capsys):
    one = capture(tmp_path / "a.pcap")
    assert run(["replay", "--json", one, "--clock-offset", "b.pcap=1"]) == 2
    assert "names no file of this replay" in capsys.readouterr().err
