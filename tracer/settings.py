"""Every choice of a run as one frozen value, built from the command line and passed on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What ``viptrace live`` was asked to do."""

    backend: str = "auto"
    """``auto``, ``bpf`` or ``conntrack``."""
    interfaces: tuple[str, ...] = ()
    """Empty means every interface."""
    packets: bool = True
    deep: bool = False
    all_namespaces: bool = False
    """Trace every network namespace of this kernel, not only the one viptrace runs in."""
    cluster: Path | None = None
    """Names from this file."""
    kubeconfig: Path | None = None
    """Names from the API server that this file leads to, which must work then."""
    no_cluster: bool = False
    """No names at all."""
    all_pods: bool = False
    """Read the pods of all nodes, not only those of this one."""
    health_checks: bool = True
    """Ask this node's health check node ports while somebody can see the answers."""
    node: str = ""
    duration_s: float = 0.0
    """0 means until interrupted."""
    ready_file: Path | None = None
    filter: str = ""
    all_flows: bool = False
    record: RecordSettings | None = None
    metrics: str = ""
    """``ADDR:PORT`` to serve Prometheus metrics on; empty for none."""
    keep_privileges: bool = False
    """Do not give up what is no longer needed once the probes are attached."""
    user: str = ""
    """Become this user then; empty to stay who one is."""
    events: bool = False
    """Findings become Kubernetes Events."""
    max_flows: int = 1 << 20
    """Flows remembered at once: what the memory of a run depends on."""


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """Where a run is recorded, and how much of it."""

    target: Path
    """``-`` is standard output."""
    rotate_bytes: int = 0
    rotate_s: float = 0.0
    keep: int = 0
    """Newest files that stay; 0 all."""
    max_bytes: int = 0
    snap: int = 0
    """Bytes of each packet; 0 all that was sniffed."""
    payload: int = 64
    """Bytes behind the headers; -1 all."""
    anonymize: bool = False
