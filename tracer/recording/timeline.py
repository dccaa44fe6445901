"""What happened to a cluster's endpoints and addresses, as JSON: only what is new since before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer import address
from tracer.cluster.model import Cluster, ClusterChange, Endpoint, Handover, Turn

MOST_KEPT = 16384
"""Changes, as many as a live run remembers."""


def encode_timeline(cluster: Cluster, before: Cluster | None) -> dict[str, object]:
    """Fields for a stored cluster; empty where nothing happened and all pods are read."""
    said: dict[str, object] = {}
    if cluster.pods_of:
        said["pods_of"] = cluster.pods_of
    fresh = _since(cluster.changes, before.changes if before else ())
    if fresh:
        said["changes"] = [_change(change) for change in fresh]
    if cluster.handovers != (before.handovers if before else ()):
        said["handovers"] = [
            [one.at_ns, address.text(one.ip), one.before, one.after] for one in cluster.handovers
        ]
    return said


def decode_timeline(said: Mapping[str, Any], before: Cluster) -> dict[str, Any]:
    """The fields of ``Cluster``; ValueError, KeyError or TypeError where there are none."""
    fresh = tuple(_decoded(*change) for change in said.get("changes", ()))
    parts: dict[str, Any] = {
        "pods_of": str(said.get("pods_of", "")),
        "changes": (*before.changes, *fresh)[-MOST_KEPT:] if fresh else before.changes,
    }
    if "handovers" in said:
        parts["handovers"] = tuple(
            Handover(int(at_ns), address.parse(ip), str(former), str(later))
            for at_ns, ip, former, later in said["handovers"]
        )
    return parts


def _since(
    changes: tuple[ClusterChange, ...], before: tuple[ClusterChange, ...]
) -> tuple[ClusterChange, ...]:
    """The changes behind the last one that was known."""
    if changes is before or not before:
        return () if changes is before else changes
    for at in range(len(changes) - 1, -1, -1):
        if changes[at] == before[-1]:
            return changes[at + 1 :]
    return changes


def _change(change: ClusterChange) -> list[object]:
    one = change.endpoint
    if one is None:
        return [change.at_ns, change.turn.value, change.service]
    where = [one.port_name, one.protocol, address.text(one.ip), one.port, one.node, one.pod]
    flags = [one.ready, one.serving, one.terminating]
    return [change.at_ns, change.turn.value, change.service, *where, *flags]


def _decoded(at_ns: int, turn: str, service: str, *endpoint: Any) -> ClusterChange:
    if not endpoint:
        return ClusterChange(int(at_ns), Turn(turn), str(service))
    port_name, protocol, ip, port, node, pod, *flags = endpoint
    ready, serving, terminating = map(bool, flags)
    where = (str(port_name), int(protocol), address.parse(ip), int(port), str(node), str(pod))
    made = Endpoint(str(service), *where, ready, serving, terminating)
    return ClusterChange(int(at_ns), Turn(turn), str(service), made)
