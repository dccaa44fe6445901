"""``viptrace record`` on this kernel, with real translation: killed in mid-run, read by others."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracer.cli import run

pytestmark = pytest.mark.root

CLUSTER = """
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec:
  type: ClusterIP
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  ports: [{name: http, protocol: TCP, port: 80}, {name: dns, protocol: UDP, port: 53}]
---
kind: Pod
apiVersion: v1
metadata: {name: web-1, namespace: shop}
spec: {nodeName: w1}
status: {phase: Running, podIP: 10.1.0.2, podIPs: [{ip: 10.1.0.2}, {ip: "fd01::2"}]}
---
kind: Pod
apiVersion: v1
metadata: {name: asker, namespace: shop}
spec: {nodeName: w1}
status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd01::1"}]}
"""
TRAFFIC = """
import sys, time
from contextlib import suppress
from tests.tracer.node.namespace import talk, translate
translate("iptables")
print("ready", flush=True)
while True:
    with suppress(OSError):  # who flushes conntrack cuts off the connection that is just being made
        for opened in talk(3, 2):
            opened.close()
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def netns() -> Iterator[str]:
    """A namespace with a translated Service and traffic to it."""
    name = f"vtrc{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with started(name, "-c", TRAFFIC, stdout=subprocess.PIPE) as traffic:
            assert traffic.stdout is not None
            assert traffic.stdout.readline() == b"ready\n"
            yield name
            traffic.kill()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextmanager
def started(netns: str, *arguments: str, **streams) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process in a namespace; killed at the end."""
    command = ["ip", "netns", "exec", netns, sys.executable, *arguments]
    with subprocess.Popen(command, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def recording(netns: str, path: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The recorder, once it is ready."""
    ready, cluster = path.with_name("ready"), path.with_name("cluster.yaml")
    cluster.write_text(CLUSTER)
    arguments = [
        *("-m", "tracer", "record", "--backend", "conntrack", "--node", "w1", "-o", str(path)),
        *("--cluster", str(cluster), "--ready-file", str(ready), *options),
    ]
    with started(netns, *arguments, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert process.poll() is None, process.stderr.read() if process.stderr else b""
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process


def grown(path: Path) -> None:
    """Until some hundred translations are in the file, however busy the machine is."""
    deadline = time.monotonic() + 40
    while not path.exists() or path.stat().st_size < 100_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tshark(path: Path, *arguments: str) -> str:
    told = subprocess.run(
        ["tshark", "-r", str(path), *arguments], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def lines_of(capsys, path: Path) -> list[dict]:
    assert run(["replay", "--json", str(path)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_recorder_killed_at_any_moment_leaves_a_readable_file(netns, tmp_path, capsys):
    chance = random.Random(int(os.environ.get("VIPTRACE_SEED", "4")))
    for turn in range(5):
        path = tmp_path / str(turn) / "run.pcapng"
        path.parent.mkdir()
        with recording(netns, path) as process:
            grown(path)
            time.sleep(chance.random())
            killed_ns = time.time_ns()
            process.send_signal(signal.SIGKILL)
            process.wait()
        *flows, summary = lines_of(capsys, path)
        translations = [line for line in flows if line["type"] == "translation"]
        assert len(translations) > 20
        assert {line["backend"]["port"] for line in translations} <= {8080, 8053}
        assert {line["service"]["name"] for line in translations} == {"web"}
        assert summary["damaged"] <= 1
        latest = max(line["last"] for line in flows if "last" in line)
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(killed_ns / 1e9 - 5))
        assert latest >= second


def test_wireshark_shows_names_and_comments(netns, tmp_path):
    path = tmp_path / "run.pcapng"
    with recording(netns, path) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        process.wait(20)
    named = tshark(
        path, "-N", "n", "-T", "fields", "-e", "_ws.col.Source", "-e", "_ws.col.Destination"
    )
    assert "shop/web\tshop/asker\n" in named
    assert "w1\tshop/web-1\n" in named
    comments = set(tshark(path, "-T", "fields", "-e", "frame.comment").splitlines()) - {""}
    tcp = [text for text in comments if ":80 (shop/web:http ClusterIP)" in text]
    assert tcp
    assert all("→ 10.1.0.2:8080 (shop/web-1)" in t or "[fd01::2]:8080" in t for t in tcp)
    assert any(", SNAT 10.1.0.9:" in text for text in tcp)
    assert tshark(path, "-q", "-z", "io,stat,0")


def test_rotated_files_say_together_what_one_would(netns, tmp_path, capsys):
    options = ("--rotate-every", "1s", "--duration", "4")
    with recording(netns, tmp_path / "run.pcapng", *options) as process:
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert b"translations" in process.stderr.read()
    parts = sorted(tmp_path.glob("run-*.pcapng"))
    assert len(parts) >= 4
    assert run(["replay", "--json", *map(str, parts)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if line["type"] == "translation"]
    keys = [(str(line["client"]), line["protocol"], line["first"]) for line in told]
    assert len(keys) == len(set(keys)) > 50
    for part in parts:
        assert len(lines_of(capsys, part)) > 5


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system with little room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_ends_the_recording_while_tracing_goes_on(netns, tmp_path, small_disk, capsys):
    # What the tests before left in conntrack is told at once, and would fill the disk alone.
    subprocess.run(["ip", "netns", "exec", netns, "conntrack", "-F"], check=True)
    path, said, shown = small_disk / "run.pcapng", tmp_path / "said", tmp_path / "shown"
    options = ("--json", "--backend", "conntrack", "--no-cluster", "--record", str(path))
    with said.open("wb") as errors, shown.open("wb") as output:
        streams = {"stdout": output, "stderr": errors}
        with started(netns, "-m", "tracer", "live", *options, **streams) as process:
            wait_until(lambda: b"has stopped" in said.read_bytes(), process)
            printed = shown.stat().st_size
            wait_until(lambda: shown.stat().st_size > printed + 4000, process)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
    assert "No space left on device" in said.read_text()
    summary = json.loads(shown.read_text().splitlines()[-1])
    assert any("run.pcapng has stopped" in told for told in summary["degraded"])
    *flows, again = lines_of(capsys, path)
    assert len(flows) > 5
    assert again["damaged"] == 0
    assert again["translations"] < summary["translations"]


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_replay_says_what_the_live_run_said(netns, tmp_path, capsys):
    path, cluster, shown = (tmp_path / name for name in ("run.pcapng", "cluster.yaml", "shown"))
    cluster.write_text(CLUSTER)
    options = ("--cluster", str(cluster), "--node", "w1", "--duration", "3", "--record", str(path))
    with shown.open("wb") as output:
        arguments = ("-m", "tracer", "live", "--json", "--backend", "conntrack", *options)
        with started(netns, *arguments, stdout=output) as process:
            assert process.wait(40) == 0
    live = [json.loads(line) for line in shown.read_text().splitlines()]
    again = lines_of(capsys, path)
    assert len(told(live, "translation")) > 20
    for kind in ("translation", "finding"):
        assert told(again, kind) == told(live, kind)
    for figure in ("packets", "events", "translations", "findings", "lost"):
        assert again[-1][figure] == live[-1][figure], figure


def told(lines: list[dict], kind: str) -> list[str]:
    """Lines of a kind without the numbers of flows: those hold for one run."""
    numbers = {"id", "upstream", "downstream"}
    plain = ({k: v for k, v in line.items() if k not in numbers} for line in lines)
    return sorted(json.dumps(line, sort_keys=True) for line in plain if line["type"] == kind)
