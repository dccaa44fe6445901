"""ClientIP affinity keeps one client on an endpoint that is gone.

Claims: this client fails again and again at the same departed endpoint, because the
node remembers it, while others are served.
Evidence: the Service's affinity, at least two failed flows of one client to one address
that is no endpoint any more, and another client's later flow that was answered.
Cannot know: what the node remembers; without another client's success it is
``endpoint-removal-lag``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import is_ipv4, packed_at, text
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.endpoints import SESSION_AFFINITY_DEAD_POD as CAUSE
from tracer.diagnosis.departures import departed
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_backend, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, service_word
from tracer.flow import Rows, Seen

QUIET_NS = 60_000_000_000
_AGAIN = 2


class SessionAffinityDeadPod:
    """Explains single clients that stay on a departed endpoint."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and departed endpoint."""
        sticky = any(service.affinity_seconds for service in scene.cluster.services)
        if not sticky or "endpoints" not in scene.cluster.known:
            return
        flows = scene.table.flows
        told = signs.has(flows, rows, signs.REFUSED) | drops.failed(scene, rows)
        told |= signs.silent(scene, rows)
        failed = told & signs.has(flows, rows, Seen.TRANSLATED) & ~signs.answered(flows, rows)
        for group in by_destination(scene, rows[failed & signs.witnessed(flows, rows)]):
            service = group.service(scene)
            if service is None or not service.affinity_seconds:
                continue
            for part in by_backend(scene, group):
                mine = _kept(scene, part)
                why = departed(scene, mine) if mine else ""
                if mine and why and _others_served(scene, mine):
                    yield _finding(scene, mine, why, service.affinity_seconds), mine.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the client has not failed there for a while."""
        return scene.now_ns - finding.last_ns < QUIET_NS


def _failed_there(scene: Scene, group: Group) -> Rows:
    """All living flows that failed at the group's backend, judged before or not."""
    flows, first = scene.table.flows, int(group.rows[0])
    there = flows["alive"] & (flows["service"] == flows["service"][first])
    there &= (flows["backend"] == flows["backend"][first]).all(axis=1)
    rows = np.flatnonzero(there)
    return rows[~signs.answered(flows, rows)]


def _kept(scene: Scene, group: Group) -> Group | None:
    """The flows among these whose client failed there more than once."""
    flows = scene.table.flows
    failed = flows["client"][_failed_there(scene, group)]
    clients, counts = np.unique(failed, axis=0, return_counts=True)
    again = frozenset(packed_at(clients, int(row)) for row in np.flatnonzero(counts >= _AGAIN))
    rows = group.rows[signs.among(flows["client"][group.rows], again)]
    return Group(group.hit, group.virtual, group.port, rows) if rows.size else None


def _others_served(scene: Scene, group: Group) -> bool:
    """Whether other clients of the Service were answered after the first failure."""
    flows = scene.table.flows
    same = flows["alive"] & (flows["service"] == flows["service"][group.rows[0]])
    rows = np.flatnonzero(same)
    clients = frozenset(places.distinct(scene, group.rows, "client"))
    others = rows[~signs.among(flows["client"][rows], clients)]
    later = others[signs.started(flows, others) >= signs.started(flows, group.rows).min()]
    return bool(signs.answered(flows, later).any())


def _finding(scene: Scene, group: Group, why: str, seconds: int) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    client, backend = packed_at(flows["client"], first), packed_at(flows["backend"], first)
    namespace, name = service_word(group.service_key or "")
    subject = group.subject(scene)
    kept = f"ClientIP affinity of {seconds} s; other clients were answered meanwhile"
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, backend, None, subject.flow),
        group.rows,
        confidence=0.85,
        summary=(
            f"affinity keeps {text(client)} on {text(backend)}, which is gone, for "
            f"{plain(group.name)}; other clients are served"
        ),
        evidence=(
            Evidence("object", why),
            Evidence("object", kept),
            *flow_lines(scene, group.rows, "kernel", "failed"),
        ),
        remedy=CAUSE.steps(namespace=namespace, name=name, forget=_forget(scene, client)),
    )


def _forget(scene: Scene, client: bytes) -> str:
    """The command by which this node's rules forget where they sent the client."""
    address = text(client)
    if scene.node.proxy_mode == "ipvs":
        return "sysctl -w net.ipv4.vs.expire_quiescent_template=1"
    if scene.node.proxy_mode == "nftables":
        table = "ip kube-proxy" if is_ipv4(client) else "ip6 kube-proxy"
        sets = f"$(nft list table {table} | grep -o 'affinity-[^ ]* {{' | cut -d' ' -f1 | sort -u)"
        element = f"nft delete element {table} $set '{{ {address} }}'"
        return f"for set in {sets}; do {element} 2>/dev/null; done"
    files = f"$(grep -l 'src={address} ' /proc/net/xt_recent/KUBE-SEP-*)"
    return f"for file in {files}; do echo -{address} > $file; done"
