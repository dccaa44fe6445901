"""Established connections to a removed real server are dropped without a word.

Claims: the connection hangs because IPVS keeps its entry and drops its packets.
Evidence: the setting net.ipv4.vs.expire_nodest_conn is 0, an IPVS connection that had
been answered and whose packets netfilter then dropped, and its backend gone from the
virtual server, or from the endpoints.
Cannot know: how long the client will wait. Nothing is claimed while the setting or the
servers are not known.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint, packed_at, text
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.nat import IPVS_NODEST_SILENT_DROP as CAUSE
from tracer.diagnosis.departures import departed
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_backend, by_destination, flow_finding, since_lost
from tracer.diagnosis.wording import drop_text, flow_lines, flow_subject
from tracer.flow import Rows, Seen

SETTING = "net.ipv4.vs.expire_nodest_conn"
QUIET_NS = 120_000_000_000
"""A hanging client repeats its segment at least so often."""


class IpvsNodestSilentDrop:
    """Explains connections that worked and then stand still."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and backend."""
        if scene.node.sysctls.get(SETTING) != "0":
            return
        flows = scene.table.flows
        hung = signs.stalled(flows, rows) & signs.answered(flows, rows)
        hung &= signs.has(flows, rows, Seen.TRANSLATED) & ~signs.has(flows, rows, Seen.ENDED)
        hung &= drops.by_netfilter(scene, rows) & drops.on_this_node(scene, rows)
        for group in by_destination(scene, rows[hung]):
            for part in by_backend(scene, group):
                why = _gone(scene, part)
                if why:
                    yield since_lost(scene, _finding(scene, part, why), part.rows), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the setting is 0 and packets are still dropped."""
        off = scene.node.sysctls.get(SETTING, "0") == "0"
        return off and scene.now_ns - finding.last_ns < QUIET_NS


def _gone(scene: Scene, group: Group) -> str:
    """Why the backend is none any more; empty while it is one, or nobody knows."""
    flow = flow_subject(scene, int(group.rows[0]))
    backend = packed_at(scene.table.flows["backend"], int(group.rows[0]))
    port = int(scene.table.flows["backend_port"][group.rows[0]])
    for server in scene.node.virtual_servers:
        if (server.protocol, server.ip, server.port) == (flow.protocol, flow.dst, flow.dst_port):
            there = any((ip, number) == (backend, port) for ip, number, _ in server.backends)
            what = f"{endpoint(backend, port)} is no real server of its virtual server"
            return "" if there else what
    known = "endpoints" in scene.cluster.known and group.service(scene) is not None
    return departed(scene, group) if known else ""


def _finding(scene: Scene, group: Group, why: str) -> Finding:
    flows, rows = scene.table.flows, group.rows
    backend = packed_at(flows["backend"], int(rows[0]))
    told = f"answered before, then dropped ({drop_text(scene, int(rows[0]))})"
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, backend, None, subject.flow),
        rows,
        confidence=0.9,
        summary=(
            f"established connections to {group.name} hang: {text(backend)} is gone, and IPVS "
            "drops their packets without a word"
        ),
        evidence=(
            Evidence("sysctl", f"{SETTING} = 0"),
            Evidence("ipvs", why),
            *flow_lines(scene, rows, "kernel", told),
        ),
        remedy=CAUSE.steps(),
    )
