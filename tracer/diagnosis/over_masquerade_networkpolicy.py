"""A network policy refuses a node's address that stands for a client.

Claims: the client came through another node's Service address, which rewrote its source;
the policy of the pod here does not let nodes in.
Evidence: a request from another node's address to an endpoint's port on this node, not
translated here, dropped by netfilter or not answered, and a walk that ends in a network
plug-in's chains.
Cannot know: who the client was; that is known on the node that rewrote it. A process of
that node itself looks the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import packed_at, text
from tracer.cluster.model import Endpoint
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.tracking import OVER_MASQUERADE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import answered_since, by_destination, flow_finding, this_node
from tracer.diagnosis.walked import foreign_rule, is_policy
from tracer.diagnosis.wording import flow_lines, plain, service_word
from tracer.flow import Rows, Seen
from tracer.path.packet import Step

QUIET_NS = 30_000_000_000


class OverMasquerade:
    """Explains rewritten clients that a policy does not know."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each pod and node."""
        node, flows = this_node(scene), scene.table.flows
        lost = ~signs.answered(flows, rows) & ~signs.has(flows, rows, Seen.TRANSLATED)
        lost &= drops.by_netfilter(scene, rows) | signs.silent(scene, rows)
        if not node or not lost.any():
            return
        others = {
            ip for other in scene.cluster.nodes if other.name != node for ip in other.addresses
        }
        lost &= signs.among(flows["client"][rows], frozenset(others - places.own(scene)))
        for group in by_destination(scene, rows[lost]):
            endpoint = _endpoint(scene, group.virtual, group.port, node)
            step = foreign_rule(scene, int(group.rows[0])) if endpoint else None
            if endpoint and step and is_policy(step):
                yield _finding(scene, group.rows, endpoint, step), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the pod answers nodes again, or none has asked for a while."""
        quiet = scene.now_ns - finding.last_ns >= 2 * QUIET_NS
        return not quiet and not answered_since(scene, finding, QUIET_NS)


def _endpoint(scene: Scene, ip: bytes, port: int, node: str) -> Endpoint | None:
    """The endpoint of this node with that address and port.

    Of a Service for whose outside clients nodes stand, if there is one.
    """
    rewriting = {
        service.key
        for service in scene.cluster.services
        if service.external_policy != "Local" and service.type in ("NodePort", "LoadBalancer")
    }
    found = [e for e in scene.cluster.endpoints if (e.ip, e.port, e.node) == (ip, port, node)]
    return next((e for e in found if e.service in rewriting), found[0] if found else None)


def _finding(scene: Scene, rows: Rows, endpoint: Endpoint, step: Step) -> Finding:
    flows, first = scene.table.flows, int(rows[0])
    client = packed_at(flows["client"], first)
    owner = scene.cluster.node_by_address[client].name
    namespace, name = service_word(endpoint.service)
    sure = bool(signs.has(flows, rows, Seen.DROPPED).any())
    pod = plain(endpoint.pod) or text(endpoint.ip)
    group = next(by_destination(scene, rows))
    return flow_finding(
        scene,
        CAUSE,
        Subject(endpoint.service, endpoint.ip, None, group.subject(scene).flow),
        rows,
        confidence=0.85 if sure else scene.absence_confidence(0.7),
        summary=(
            f"the policy of pod {pod} refuses {text(client)}, node {plain(owner)}, which stands "
            "for clients of its Services' external addresses"
        ),
        evidence=(
            Evidence("rule", plain(f"{step.table} {step.chain}: {step.rule} {step.effect}")),
            *flow_lines(scene, rows, "kernel", "dropped" if sure else "no answer"),
        ),
        remedy=CAUSE.steps(namespace=namespace, name=name, client=text(client)),
    )
