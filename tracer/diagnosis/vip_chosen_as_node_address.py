"""A Service's address is used as a node's own.

Claims: answers to it never come back, because every node holds the address itself.
Evidence: a Node object whose address is a Service's ClusterIP; or a translated request
that kept a Service's address as its source, to another node, unanswered.
Cannot know: who chose the address.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import packed_at, text
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.claims import VIP_AS_NODE_ADDRESS as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import answered_since, by_destination, flow_finding, this_node
from tracer.diagnosis.wording import flow_lines, plain
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000


class VipIsNodeAddress:
    """Judges the state: Node objects against Services."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each node."""
        services = scene.cluster.service_by_address
        for node in scene.cluster.nodes:
            for ip in node.addresses:
                service = services.get(ip)
                if service is not None and ip in service.cluster_ips:
                    told = f"Node {plain(node.name)} says {text(ip)} is its address"
                    yield state_finding(
                        scene,
                        CAUSE,
                        Subject(address=ip, node=node.name),
                        confidence=0.95,
                        summary=f"{told}, which is the ClusterIP of Service {plain(service.key)}",
                        evidence=(Evidence("object", told),),
                        remedy=CAUSE.steps(),
                    )


class VipIsSource:
    """Judges flows that left with a Service's address."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service address."""
        flows, node = scene.table.flows, this_node(scene)
        lost = signs.has(flows, rows, Seen.TRANSLATED) & ~signs.answered(flows, rows)
        lost &= ~signs.has(flows, rows, signs.REFUSED)
        lost &= signs.same(flows["source"][rows], flows["client"][rows])
        if not node or not lost.any():
            return
        where = rows[lost]
        sources = places.distinct(scene, where, "source")
        virtual = frozenset(sources & scene.cluster.service_by_address.keys())
        virtual -= scene.cluster.node_by_address.keys()
        where = where[signs.among(flows["source"][where], virtual)]
        where = where[signs.silent(scene, where)]
        remote = places.on_other_node(scene, places.distinct(scene, where, "backend"), node)
        where = where[signs.among(flows["backend"][where], remote)]
        for group in by_destination(scene, where):
            ip = packed_at(flows["source"], int(group.rows[0]))
            subject = group.subject(scene)
            yield (
                flow_finding(
                    scene,
                    CAUSE,
                    Subject(address=ip, node=node, flow=subject.flow),
                    group.rows,
                    confidence=scene.absence_confidence(0.85),
                    summary=(
                        f"requests of node {plain(node)} leave with the Service address {text(ip)} "
                        "as their source, and the answers find no way back"
                    ),
                    evidence=flow_lines(scene, group.rows, "conntrack", "source kept, no answer"),
                    remedy=CAUSE.steps(),
                ),
                group.rows,
            )

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers again."""
        return not answered_since(scene, finding, QUIET_NS)
