"""Replay from files to lines, through every part of the program."""

from __future__ import annotations

import gzip
import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.builders import join, mapping
from tests.tracer.diagnosis import story
from tests.tracer.recording import stories
from tests.tracer.shown import VIP, WEB
from tracer.cli import run
from tracer.errors import InputError
from tracer.events import Flag
from tracer.recording import is_recording

CLUSTER = """
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec:
  type: ClusterIP
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ports: [{name: http, protocol: TCP, port: 80, targetPort: 8080}]
---
kind: Service
apiVersion: v1
metadata: {name: port-forward, namespace: kube-system}
spec:
  type: ClusterIP
  clusterIP: 10.96.7.7
  clusterIPs: [10.96.7.7]
  externalIPs: [192.168.1.2]
  ports: [{name: https, protocol: TCP, port: 6444, targetPort: 6443}]
---
kind: Node
apiVersion: v1
metadata: {name: master-2}
status: {addresses: [{type: InternalIP, address: 192.168.1.2}]}
"""
_SYN = bytes.fromhex(
    "02000000000202000000000108004500002800010000400600000a0000010a000002"
    "9c4000500000000100000000500220000000 0000".replace(" ", "")
)
_RST = bytes.fromhex(
    "02000000000102000000000208004500002800010000400600000a0000020a000001"
    "00509c400000000000000002501400000000 0000".replace(" ", "")
)
PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(
    struct.pack("<IIII", 1_700_000_000, place, len(packet), len(packet)) + packet
    for place, packet in enumerate((_SYN, _RST))
)
"""A request that is refused."""
ADDRESSES = [
    {
        "ifindex": 3,
        "ifname": "kube-ipvs0",
        "addr_info": [{"local": "192.168.1.2", "prefixlen": 32}],
    },
    {"ifindex": 2, "ifname": "eth0", "addr_info": [{"local": "192.168.1.3", "prefixlen": 24}]},
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Thirteen connections of one namespace, and a cluster file beside them."""
    flags = Flag.DST_NAT | Flag.IPVS | Flag.REPLIED
    made = [
        mapping(place / 10, f"10.244.3.8:{4000 + place}", VIP, WEB, flags=flags, netns=4026531840)
        for place in range(13)
    ]
    np.save(tmp_path / "events.npy", join(*made))
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return tmp_path


@pytest.fixture
def blackhole(recording: Path) -> Path:
    """The same on a node whose IPVS holds the address of another node."""
    (recording / "state").mkdir()
    (recording / "state/proxy-mode.txt").write_text("ipvs\n")
    (recording / "state/addr.json").write_text(json.dumps(ADDRESSES))
    return recording


def replay(capsys, *arguments: str) -> tuple[int, list[dict], str]:
    code = run(["replay", "--json", *arguments])
    told = capsys.readouterr()
    return code, [json.loads(line) for line in told.out.splitlines()], told.err


def test_a_folder_is_replayed_with_the_files_beside_it(recording: Path, capsys):
    code, lines, told = replay(capsys, str(recording))
    assert code == 0
    assert [line["type"] for line in lines] == ["translation"] * 13 + ["summary"]
    assert {line["service"]["name"] for line in lines[:-1]} == {"web"}
    assert {line["engine"] for line in lines[:-1]} == {"ipvs"}
    assert told == f"viptrace: also using {recording}/cluster.yaml, {recording}/events.npy\n"


def test_the_summary_counts_what_was_read(recording: Path, capsys):
    summary = replay(capsys, str(recording))[1][-1]
    assert summary == {
        "type": "summary",
        "packets": 0,
        "events": 13,
        "translations": 13,
        "findings": {},
        "lost": {"kernel": 0, "socket": 0, "queue": 0},
        "damaged": 0,
        "unparsed": 0,
        "duration_s": 1.2,
        "backend": "replay",
        "degraded": [],
    }


def test_names_can_be_left_out(recording: Path, capsys):
    _, lines, told = replay(capsys, "--no-cluster", str(recording / "events.npy"))
    assert {line["service"] for line in lines[:-1]} == {None}
    assert told == ""
    assert lines[-1]["degraded"] == ["no names: no cluster file (--cluster FILE)"]


def test_a_last_argument_that_is_no_file_is_the_filter(recording: Path, capsys):
    _, lines, _ = replay(capsys, str(recording), "port=4003 or port=4007")
    assert [line["client"]["port"] for line in lines[:-1]] == [4003, 4007]


def test_updates_end_with_final_lines(recording: Path, capsys):
    _, lines, _ = replay(capsys, "--updates", str(recording))
    assert sum(line.get("final", False) for line in lines) == 13


def test_the_blackhole_is_found_before_any_flow_and_fails_the_run(blackhole: Path, capsys):
    code, lines, _ = replay(capsys, "--fail-on", "critical", str(blackhole))
    assert code == 1
    assert lines[0]["cause"] == "ipvs-external-ip-is-node-ip"
    assert lines[0]["subject"]["service"] == "kube-system/port-forward"
    assert lines[0]["since"].startswith("2023-11-14T22:13:20")
    assert lines[-1]["findings"] == {"ipvs-external-ip-is-node-ip": 1}


@pytest.mark.parametrize("form", ["--json", "--text"])
def test_findings_and_totals_alone(blackhole: Path, capsys, form: str):
    assert run(["replay", form, str(blackhole)]) == 0
    every = capsys.readouterr().out.splitlines()
    assert run(["replay", form, "--summary", str(blackhole)]) == 0
    told = capsys.readouterr().out.splitlines()
    flows = [line for line in every if line not in told]
    assert len(flows) >= 13
    assert told == [line for line in every if line not in flows]
    assert "ipvs-external-ip-is-node-ip" in "".join(told)


@pytest.mark.parametrize("other", ["--updates", "--all-flows"])
def test_totals_alone_exclude_what_asks_for_more_flows(blackhole: Path, capsys, other: str):
    assert run(["replay", "--json", "--summary", other, str(blackhole)]) == 2
    assert f"--summary and {other} exclude each other." in capsys.readouterr().err


def test_what_does_not_reach_the_severity_passes(recording: Path, capsys):
    assert replay(capsys, "--fail-on", "info", str(recording))[0] == 0


def test_the_same_as_text(blackhole: Path, capsys):
    assert run(["replay", "--text", str(blackhole)]) == 0
    told = capsys.readouterr().out
    assert told.count("shop/web:http") == 13
    assert "CRITICAL ipvs-external-ip-is-node-ip" in told
    assert "  1. " in told
    assert "\x1b" not in told
    assert told.splitlines()[-3].startswith("13 translations from 13 events")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_ends_with_its_summary(number: signal.Signals):
    with subprocess.Popen(
        [sys.executable, "-m", "tracer", "replay", "--json", "--all-flows", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=False,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(PCAP)
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        process.send_signal(number)
        rest = process.stdout.read().splitlines()
    assert first["type"] == "translation"
    assert json.loads(rest[-1])["type"] == "summary"
    assert process.returncode == 130


def recorded(folder: Path) -> Path:
    """A recording of one named connection, made by a pipeline of its own."""
    path = folder / "run.pcapng"
    node = ("node", story.node_state(), 0)
    cluster = ("cluster", story.cluster(story.service(), endpoints=(story.THERE,)), 0)
    mapped = stories.mapping_told(0.1, f"{story.CLIENT}:4000", stories.VIP)
    stories.run([node, cluster, mapped], stories.recorder(path))
    return path


def test_a_recording_brings_its_own_names(tmp_path: Path, capsys):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    _, lines, told = replay(capsys, str(recorded(tmp_path)))
    assert lines[0]["service"]["name"] == "web"
    assert lines[0]["backend"]["name"] == f"default/pod-{story.POD_THERE}"
    assert lines[0]["node"] == "master-1"
    assert lines[-1]["degraded"] == []
    assert told == ""


def test_names_given_by_hand_go_before_those_in_a_recording(tmp_path: Path, capsys):
    path = recorded(tmp_path)
    _, lines, _ = replay(capsys, "--no-cluster", str(path))
    assert (lines[0]["service"], lines[0]["node"]) == (None, "master-1")
    (tmp_path / "cluster.yaml").write_text(CLUSTER.replace("10.96.0.10", story.VIP))
    _, lines, _ = replay(capsys, "--cluster", str(tmp_path / "cluster.yaml"), str(path))
    assert lines[0]["service"]["namespace"] == "shop"


def test_a_recording_comes_packed_or_through_a_pipe(tmp_path: Path, capsys):
    raw = recorded(tmp_path).read_bytes()
    (tmp_path / "run.pcapng.gz").write_bytes(gzip.compress(raw))
    _, packed, _ = replay(capsys, str(tmp_path / "run.pcapng.gz"))
    piped = subprocess.run(
        [sys.executable, "-m", "tracer", "replay", "--json", "-"],
        input=raw,
        capture_output=True,
        check=True,
    )
    lines = [json.loads(line) for line in piped.stdout.splitlines()]
    assert lines == packed
    assert lines[0]["service"]["name"] == "web"


def test_a_recording_of_a_newer_version_is_refused(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("tracer.recording.header.VERSION", 99)
    path = recorded(tmp_path)
    monkeypatch.undo()
    assert run(["replay", "--json", str(path)]) == 2
    assert "version 99" in capsys.readouterr().err


def test_a_recording_cut_off_anywhere_is_read_up_to_there(tmp_path: Path):
    raw = recorded(tmp_path).read_bytes()
    whole = stories.replayed(stories.opened(tmp_path / "run.pcapng"))
    first = next(n for n in range(len(raw)) if is_recording(raw[:n]))
    for end in range(first, len(raw), 7):
        (tmp_path / "cut.pcapng").write_bytes(raw[:end])
        try:
            source = stories.opened(tmp_path / "cut.pcapng")
            found = stories.replayed(source)
        except InputError:
            continue
        finally:
            source.close()
        assert found in ([], whole)
