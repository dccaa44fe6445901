"""Health checks of a live run: whose are asked, and what a failing one means."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

from tracer.commands.live_cluster import LiveCluster
from tracer.commands.live_health import LiveHealth
from tracer.node.collect import Collector
from tracer.settings import LiveSettings

OBJECTS = """
kind: Node
apiVersion: v1
metadata: {name: %s}
status: {addresses: [{type: InternalIP, address: %s}]}
---
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: %d}
"""


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def health(tmp_path: Path, port: int, *, wanted: bool = True, at: str = "127.0.0.1") -> LiveHealth:
    path = tmp_path / "cluster.yaml"
    path.write_text(OBJECTS % ("one", at, port))
    collector = Collector("one")
    made = LiveHealth(wanted, LiveCluster(LiveSettings(cluster=path), collector), collector)
    for reader in made.readers:
        reader.poll(0.0)
    return made


def test_a_port_that_nobody_answers_is_a_problem(tmp_path):
    port = closed_port()
    (problem,) = health(tmp_path, port).problems()
    assert str(problem) == (
        f"health checks fail: 127.0.0.1:{port} of shop/web: refused "
        "(load balancers leave this node out)"
    )


def test_a_node_whose_addresses_are_elsewhere_is_not_asked(tmp_path):
    made = health(tmp_path, closed_port(), at="192.0.2.7")
    assert (made.answers(), made.problems()) == ((), [])


def test_nobody_is_asked_where_it_is_not_wanted(tmp_path):
    made = health(tmp_path, closed_port(), wanted=False)
    assert (made.readers, made.answers(), made.problems()) == ((), (), [])
