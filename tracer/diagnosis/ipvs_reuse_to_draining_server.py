"""A connection on reused ports was sent to a real server of weight 0.

Claims: IPVS chose the server of the last connection on these ports, though it is being
drained.
Evidence: conn_reuse_mode 0, a failed IPVS connection, and weight 0 of its real server. Where
the weight is not read yet: that the endpoint is gone, and that the last connection on these
ports went there.
Cannot know: of weight 0, whether the ports were really reused; a server drained while the
connection was made looks the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint, packed_at
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.servers import REUSE_TO_DRAINING as CAUSE
from tracer.diagnosis.departures import departed
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_backend,
    by_destination,
    flow_finding,
)
from tracer.diagnosis.virtual_servers import option
from tracer.diagnosis.wording import flow_lines, flow_subject
from tracer.flow import Rows, Seen
from tracer.flows.former import predecessors
from tracer.node.model import VirtualServer

SETTING = "net.ipv4.vs.conn_reuse_mode"
QUIET_NS = 30_000_000_000


class ReuseToDraining:
    """Explains connections to servers that should get none."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and server."""
        if scene.node.sysctls.get(SETTING) != "0":
            return
        flows = scene.table.flows
        failed = signs.has(flows, rows, signs.REFUSED) | drops.failed(scene, rows)
        failed |= signs.silent(scene, rows)
        failed &= signs.has(flows, rows, Seen.TRANSLATED) & ~signs.answered(flows, rows)
        for group in by_destination(scene, rows[failed]):
            for part in by_backend(scene, group):
                if drained := _drained(scene, part):
                    yield _finding(scene, part, *drained), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the setting is 0 and such connections fail."""
        off = scene.node.sysctls.get(SETTING, "0") == "0"
        return off and not answered_since(scene, finding, QUIET_NS)


def _drained(scene: Scene, group: Group) -> tuple[VirtualServer, int] | None:
    """The virtual server that gives such a backend no other connections, and its weight there."""
    flow = flow_subject(scene, int(group.rows[0]))
    flows, first = scene.table.flows, int(group.rows[0])
    backend = packed_at(flows["backend"], first), int(flows["backend_port"][first])
    for server in scene.node.virtual_servers:
        mine = (server.protocol, server.ip, server.port) == (flow.protocol, flow.dst, flow.dst_port)
        for ip, port, weight in server.backends:
            if mine and (ip, port) == backend and (not weight or _kept(scene, group)):
                return server, weight
    return None


def _kept(scene: Scene, group: Group) -> bool:
    """Whether it is gone, and the last connections on these ports went there, too."""
    flows, rows = scene.table.flows, group.rows
    before = predecessors(flows, rows)
    there = (before >= 0) & signs.same(flows["backend"][before], flows["backend"][rows])
    return bool(there.all() and departed(scene, group))


def _finding(scene: Scene, group: Group, server: VirtualServer, weight: int) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    ip, port = packed_at(flows["backend"], first), int(flows["backend_port"][first])
    virtual, at = endpoint(server.ip, server.port), endpoint(ip, port)
    subject, state = group.subject(scene), "which is gone" if weight else "of weight 0"
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, ip, None, subject.flow),
        group.rows,
        confidence=0.8,
        summary=f"clients of {group.name} that reuse ports are still sent to {at}, {state}",
        evidence=(
            Evidence("sysctl", f"{SETTING} = 0"),
            Evidence("ipvs", f"virtual server {virtual}: {at} has weight {weight}"),
            *flow_lines(scene, group.rows, "ipvs", "failed"),
        ),
        remedy=CAUSE.steps(option=option(server), virtual=virtual, server=at),
    )
