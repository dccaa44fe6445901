"""Backends that are endpoints no more, and mappings that still lead to them."""

from __future__ import annotations

import numpy as np

from tracer.address import endpoint, packed_at
from tracer.diagnosis import signs
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group
from tracer.diagnosis.wording import plain
from tracer.flow import Seen


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


def outlived(scene: Scene, group: Group) -> str:
    """Why these mappings of one backend lead nowhere; empty while it is an endpoint.

    Also empty for mappings that may have been made after it had left: rules lag, too.
    """
    flows, rows = scene.table.flows, group.rows
    ip, port = packed_at(flows["backend"], int(rows[0])), int(flows["backend_port"][rows[0]])
    if any((e.ip, e.port) == (ip, port) for e in group.usable(scene)):
        return ""
    key = (group.service_key or "", int(flows["protocol"][rows[0]]), ip, port)
    left_ns = scene.cluster.departures.get(key, 0)
    older = bool((flows["first_ns"][rows] < left_ns).all())
    before = bool(signs.has(flows, rows, Seen.EXISTING).all())
    return f"the mapping leads to {endpoint(ip, port)}, no endpoint" if older or before else ""


def forgotten(scene: Scene, finding: Finding) -> bool:
    """Whether conntrack has dropped every mapping of the finding's destination and backend."""
    flow, backend, flows = finding.subject.flow, finding.subject.address, scene.table.flows
    if flow is None or backend is None:
        return False
    mine = flows["alive"] & (flows["protocol"] == flow.protocol)
    rows = np.flatnonzero(mine & (flows["virtual_port"] == flow.dst_port))
    rows = rows[signs.among(flows["virtual"][rows], frozenset({flow.dst}))]
    rows = rows[signs.has(flows, rows, Seen.MAPPED)]
    rows = rows[signs.among(flows["backend"][rows], frozenset({backend}))]
    return bool(rows.size and signs.has(flows, rows, Seen.ENDED).all())
