"""A client that takes the same ports again and again, traced from conntrack and packets."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import Counter
from pathlib import Path

import pytest

from lab.netns import call
from lab.objects import dump, read, to_cluster
from lab.topology import Topology
from lab.tracing import Tracing

pytestmark = pytest.mark.root

NODE, VIP = "worker-1", ("10.96.0.10", 80)
PORTS, TIMES = range(20000, 20007), 30
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets, so that the client may take its port again at once."""


def connect(pause_s: float) -> list[tuple[int, str]]:
    """Port and answering pod of each connection."""
    answered = []
    for _ in range(TIMES):
        for port in PORTS:
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.settimeout(5)
                client.bind(("", port))
                client.connect(VIP)
                client.sendall(b"?\n")
                answered.append((port, client.recv(512).decode().split()[0]))
            time.sleep(pause_s)
    return answered


@pytest.mark.parametrize("pause_s", [0.0, 0.03])
def test_there_are_as_many_translations_as_connections(pause_s, tmp_path: Path):
    objects = read("default")
    file = tmp_path / "cluster.yaml"
    file.write_text(dump(objects))
    with Topology(to_cluster(objects), f"labp{os.getpid()}") as topology:
        topology.program("iptables")
        namespace = topology.namespace(NODE)
        with Tracing(namespace, tmp_path, ["--cluster", str(file)], NODE, "conntrack") as tracing:
            made = call(topology.namespace("shell"), connect, pause_s)
            tracing.stop()
        lines = list(tracing.lines())
    told = [line for line in lines if line["type"] == "translation"]
    assert Counter((line["client"]["port"], line["backend"]["name"]) for line in told) == Counter(
        (port, f"default/{pod}") for port, pod in made
    )
    assert [line for line in lines if line["type"] == "finding"] == []
