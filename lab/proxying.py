"""Who programs the nodes: the lab's own rules, or kube-proxy itself."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from lab.objects import Objects
from lab.rules.apply import Mode, apply, resync
from tracer.cluster.model import Cluster

Nodes = Mapping[str, str]
"""Network namespace by the node's name."""


class Proxies(Protocol):
    """Service proxies of every node of one cluster."""

    @property
    def name(self) -> str:
        """Which they are, for records."""

    def program(self, nodes: Nodes, mode: Mode, cluster: Cluster) -> None:
        """The first sync."""

    def resync(self, nodes: Nodes, mode: Mode, cluster: Cluster) -> None:
        """The next sync, for a changed cluster; for an unchanged one a repair."""

    def left_behind(self, cluster: Cluster) -> None:
        """Kubernetes says this now, and no proxy follows until the next sync."""

    def stop(self) -> None:
        """No proxy does anything any more; what is programmed stays."""

    def naming(self, cluster: Path) -> tuple[str, ...]:
        """The options by which viptrace learns names; ``cluster`` says the same as a file."""

    @property
    def noise(self) -> str:
        """Packets that are there for the lab's sake only, as tcpdump names them; empty: none."""

    def told(self) -> Objects | None:
        """What the API server says; None where there is none."""

    def close(self) -> None:
        """Leave nothing behind; safe to call twice."""


class WrittenRules:
    """Rules as kube-proxy writes them, written by the lab: works everywhere, in no time."""

    @property
    def name(self) -> str:
        """The lab's own."""
        return "lab"

    def program(self, nodes: Nodes, mode: Mode, cluster: Cluster) -> None:
        """All nodes at once."""
        with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
            jobs = [pool.submit(apply, cluster, name, mode, nodes[name]) for name in nodes]
        for job in jobs:
            job.result()

    def resync(self, nodes: Nodes, mode: Mode, cluster: Cluster) -> None:
        """One node after the other."""
        for name, namespace in nodes.items():
            resync(cluster, name, mode, namespace)

    def left_behind(self, cluster: Cluster) -> None:
        """Nothing ever follows by itself."""

    def stop(self) -> None:
        """Nothing runs."""

    def naming(self, cluster: Path) -> tuple[str, ...]:
        """The file."""
        return ("--cluster", str(cluster))

    @property
    def noise(self) -> str:
        """Nothing talks."""
        return ""

    def told(self) -> Objects | None:
        """There is no API server."""
        return None

    def close(self) -> None:
        """Rules go with their namespaces."""
