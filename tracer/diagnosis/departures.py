"""Backends that are endpoints no more."""

from __future__ import annotations

from tracer.address import endpoint, packed_at
from tracer.diagnosis import signs
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group
from tracer.diagnosis.wording import plain


def departed(scene: Scene, group: Group) -> str:
    """Why the backend is none any more; empty while it is one."""
    flows, first = scene.table.flows, int(group.rows[0])
    ip, port = packed_at(flows["backend"], first), int(flows["backend_port"][first])
    at = endpoint(ip, port)
    mine = [e for e in group.usable(scene) if (e.ip, e.port) == (ip, port)]
    if not mine:
        told = f"{at} is not among the usable endpoints of Service {plain(group.service_key or '')}"
        return told + _since(scene, group, (ip, port))
    named = next((e.pod for e in mine if e.pod), "")
    if not named or "pods" not in scene.cluster.known or ip in scene.cluster.node_by_address:
        return ""
    if scene.cluster.pods_of not in ("", mine[0].node):
        return ""  # pods of that node are not read
    pod = scene.cluster.pod_by_address.get(ip)
    if pod is None:
        return f"{at} belongs to pod {plain(named)}, which is no more"
    return "" if pod.phase == "Running" else f"pod {plain(pod.key)} at {at} is {plain(pod.phase)}"


def _since(scene: Scene, group: Group, at: tuple[bytes, int]) -> str:
    """How long before the latest of these connections the endpoint left; empty if not watched."""
    flows, rows = scene.table.flows, group.rows
    protocol = int(flows["protocol"][rows[0]])
    left_ns = scene.cluster.departures.get((group.service_key or "", protocol, *at))
    if left_ns is None:
        return ""
    seconds = (int(signs.started(flows, rows).max()) - left_ns) / 1e9
    if seconds < 0:
        return f"; it left {-seconds:.1f} s after the last of these connections began"
    return f"; it had left {seconds:.1f} s before the last of these connections began"
