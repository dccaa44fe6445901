"""The lab on this machine's kernel: namespaces are made, rules translate, nothing stays behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lab.compare import compare
from lab.objects import read, to_cluster
from lab.reach import try_all
from lab.record import record
from lab.scenarios import BY_NAME
from lab.shell import run
from lab.suite import Case, run_case
from lab.topology import Topology
from lab.traffic import Load
from lab.truth import from_clients, from_conntrack
from tracer.capture_file import CaptureReader, CaptureStream

pytestmark = pytest.mark.root


@pytest.fixture
def prefix() -> str:
    return f"labt{os.getpid()}"


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_every_address_reaches_the_right_pods(mode, prefix):
    with Topology(to_cluster(read("default")), prefix) as topology:
        topology.program(mode)
        bad = [outcome.line() for outcome in try_all(topology) if not outcome.good]
    assert bad == []
    assert prefix not in run(["ip", "netns"])


def test_the_pods_account_equals_the_kernels_table(prefix):
    with Topology(to_cluster(read("default")), prefix) as topology:
        topology.program("iptables")
        exchanges = topology.traffic("client", Load("172.18.0.3", 30080, tcp=31))
        kernel = from_conntrack(topology.run("worker-1", "conntrack", "-L"))
        clients = from_clients(exchanges, topology.cluster)
    found = compare([], clients, kernel)
    assert found.expected == 31
    assert found.kernel_differs == ()


def test_a_sync_after_a_change_moves_the_traffic(prefix):
    with Topology(to_cluster(read("default")), prefix) as topology:
        topology.program("nftables", to_cluster(read("default")))
        topology.stop_server("default/echo-3")
        endpoints = tuple(
            item for item in topology.cluster.endpoints if item.pod != "default/echo-3"
        )
        topology.resync("nftables", replace(topology.cluster, endpoints=endpoints))
        exchanges = topology.traffic("shell", Load("10.96.0.10", 80, tcp=24))
    assert {item.answered_by for item in exchanges} == {"echo-1", "echo-2"}


def test_a_recording_is_complete_and_small(prefix, tmp_path: Path):
    scenario = BY_NAME["external-ip-hidden-port"]
    recording = record(scenario, tmp_path / scenario.name, prefix, lambda text: None, "conntrack")
    files = {item.name for item in (recording.folder / "state").iterdir()}
    assert {"addr.json", "route.json", "conntrack.txt", "iptables-save.txt"} <= files
    assert (recording.folder / "events.npy").stat().st_size > 128
    assert sum(item.stat().st_size for item in recording.folder.rglob("*.*")) < 200_000
    stream = CaptureStream(recording.folder / "capture.pcapng")
    try:
        reader = CaptureReader(stream.bytes, "capture.pcapng")
        assert reader.read() is not None
        assert "eth0" in {interface.name for interface in reader.interfaces}
    finally:
        stream.close()


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
@pytest.mark.parametrize("family", [4, 6])
def test_viptrace_prints_every_connection_once(mode, family, prefix, tmp_path):
    result = run_case(Case(mode, family, "conntrack", tcp=97, udp=47), tmp_path, prefix)
    assert result.comparison is not None, result.failure
    assert result.good, result.comparison.report()
