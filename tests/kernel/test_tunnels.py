"""What this kernel's own tunnels carry is read from a capture of the wire beneath them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel import field

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]

ONE, OTHER, PORT, CONNECTIONS = "vpt-one", "vpt-other", 8080, 3
ENDS = {ONE: "192.168.7.1", OTHER: "192.168.7.2"}
INSIDE = {ONE: "10.77.0.1", OTHER: "10.77.0.2"}
TUNNELS = {
    "vxlan": ("vxlan", 42, "id 42 dstport 12345 local {here} remote {there} dev w0"),
    "geneve": ("geneve", 43, "id 43 remote {there}"),
    "gretap": ("gre", 9, "local {here} remote {there} key 9"),
    "gre": ("gre", None, "local {here} remote {there} seq csum"),
    "ipip": ("ipip", None, "local {here} remote {there}"),
}
"""By the kernel's name: what is told, its number, and how it is made."""


@pytest.fixture(scope="module")
def wire() -> Iterator[None]:
    """Two namespaces on one wire."""
    for name in ENDS:
        field.run(f"ip netns add {name}")
    try:
        field.run(f"ip link add w0 netns {ONE} type veth peer name w0 netns {OTHER}")
        for name, ip in ENDS.items():
            field.run(f"ip -n {name} addr add {ip}/24 dev w0")
            field.run(f"ip -n {name} link set w0 up")
        yield
    finally:
        for name in ENDS:
            field.run(f"ip netns del {name}")


@contextmanager
def tunnel(kind: str, made: str) -> Iterator[None]:
    for name, there in ((ONE, OTHER), (OTHER, ONE)):
        options = made.format(here=ENDS[name], there=ENDS[there])
        field.run(f"ip -n {name} link add t0 type {kind} {options}")
        field.run(f"ip -n {name} addr add {INSIDE[name]}/24 dev t0")
        field.run(f"ip -n {name} link set t0 up")
    try:
        yield
    finally:
        for name in ENDS:
            field.run(f"ip -n {name} link del t0")


def talk() -> None:
    """Connections through the tunnel, each with more than a packet holds."""
    with field.inside(OTHER):
        server = socket.create_server((INSIDE[OTHER], PORT))
    server.settimeout(30)

    def serve() -> None:
        for _ in range(CONNECTIONS):
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"y" * 100_000)

    thread = threading.Thread(target=serve)
    thread.start()
    for _ in range(CONNECTIONS):
        with field.inside(ONE):
            client = socket.create_connection((INSIDE[OTHER], PORT), 30)
        with client:
            while client.recv(1 << 16):
                continue
    thread.join()
    server.close()


@contextmanager
def captured(path: Path) -> Iterator[None]:
    command = ["ip", "netns", "exec", ONE, "tcpdump", "-i", "w0", "-U", "-w", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            while "listening" not in process.stderr.readline():
                assert process.poll() is None
            yield
            _wait_until_written(path)
        finally:
            process.terminate()


def _wait_until_written(path: Path) -> None:
    size, deadline = -1, time.monotonic() + 30
    while path.stat().st_size != size and time.monotonic() < deadline:
        size = path.stat().st_size
        time.sleep(0.5)


@pytest.mark.parametrize("kind", TUNNELS)
def test_flows_inside_are_told_with_the_tunnel_around_them(wire, tmp_path, kind):
    name, number, made = TUNNELS[kind]
    path = tmp_path / "wire.pcap"
    with tunnel(kind, made), captured(path):
        talk()
    command = [sys.executable, "-m", "tracer", "replay", "--json", "--all-flows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *lines, summary = [json.loads(line) for line in done.stdout.splitlines()]
    flows = [line for line in lines if line["type"] == "translation" and line["protocol"] == "tcp"]
    assert len(flows) == CONNECTIONS
    for flow in flows:
        assert (flow["client"]["ip"], flow["virtual"]["ip"]) == tuple(INSIDE.values())
        assert flow["tunnel"]["kind"] == name
        assert flow["tunnel"]["id"] == number
        assert {end["ip"] for end in flow["tunnel"]["between"]} == set(ENDS.values())
    assert summary["damaged"] == 0
