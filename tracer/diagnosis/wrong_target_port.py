"""The Service's target port is one that no endpoint listens on.

Claims: the endpoints run and refuse on that port: targetPort is wrong, or the program
listens on the pod's loopback address only.
Evidence: every usable endpoint of the port, two or more, reset a request and none ever
answered; or the one that did has answered on another port meanwhile. Both for 3 s at
least: endpoints that have just ended are listed as ready a moment longer.
Cannot know: the port that would be right; and of a single endpoint that refuses,
whether its process has just ended: that stays ``refused-by-backend``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import endpoint, is_ipv4, packed_at
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.endpoints import WRONG_TARGET_PORT as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, refusal_text, service_word
from tracer.flow import Rows, Seen

_ENOUGH = 2


class WrongTargetPort:
    """Explains Services that refuse at every endpoint."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and address asked."""
        flows = scene.table.flows
        for group in by_destination(scene, rows[_reset_by_backend(scene, rows)]):
            v4 = is_ipv4(group.virtual)
            usable = frozenset(e.ip for e in group.usable(scene) if is_ipv4(e.ip) == v4)
            chosen = frozenset(places.distinct(scene, group.rows, "backend"))
            if not chosen or not chosen <= usable:
                continue
            asked = _of_service_port(scene, group)
            if signs.answered(flows, asked).any():
                continue
            refusing = asked[_reset_by_backend(scene, asked)]
            lasts = signs.overdue(flows, refusing, scene.now_ns).any() or scene.final
            if not lasts:  # endpoints that have just ended are still listed as ready
                continue
            everywhere = usable <= places.distinct(scene, refusing, "backend")
            if everywhere and len(usable) >= _ENOUGH:
                told = f"all {len(usable)} usable endpoints refuse, none has answered"
                yield _finding(scene, group, told), group.rows
            elif _answers_elsewhere(scene, group, chosen):
                told = "the endpoint answers on another port"
                yield _finding(scene, group, told), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers, or its endpoints have left."""
        known = finding.subject.service and "endpoints" in scene.cluster.known
        if known and not scene.cluster.usable_endpoints(finding.subject.service or ""):
            return False
        return not answered_since(scene, finding)


def _reset_by_backend(scene: Scene, rows: Rows) -> signs.Mask:
    flows = scene.table.flows
    reset = signs.has(flows, rows, Seen.RST_BEFORE_ANSWER) & (flows["service"][rows] >= 0)
    reset &= signs.has(flows, rows, Seen.TRANSLATED) & ~signs.answered(flows, rows)
    sender = flows["refused_by"][rows]
    known = signs.same(sender, flows["backend"][rows]) | signs.same(sender, flows["virtual"][rows])
    return reset & known


def _of_service_port(scene: Scene, group: Group) -> Rows:
    """All living flows to the same Service port, by this kind of address."""
    flows = scene.table.flows
    return np.flatnonzero(flows["alive"] & (flows["service"] == flows["service"][group.rows[0]]))


def _answers_elsewhere(scene: Scene, group: Group, backends: frozenset[bytes]) -> bool:
    """Whether each of these pods answered on another port since the first refusal."""
    flows, rows = scene.table.flows, group.rows
    if backends & scene.cluster.node_by_address.keys():
        return False  # a node answers for many
    there = signs.among(flows["backend"], backends) & flows["alive"]
    there &= flows["backend_port"] != flows["backend_port"][rows[0]]
    others = np.flatnonzero(there)
    later = others[flows["last_ns"][others] >= signs.started(flows, rows).min()]
    live = later[signs.has(flows, later, signs.SPOKE) & signs.answered(flows, later)]
    return backends <= places.distinct(scene, live, "backend")


def _finding(scene: Scene, group: Group, why: str) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    ip, port = packed_at(flows["backend"], first), int(flows["backend_port"][first])
    pod = next((e.pod for e in group.usable(scene) if e.ip == ip and e.pod), "")
    namespace, name = service_word(group.service_key or "")
    pod_namespace, pod_name = service_word(pod) if pod else (namespace, "<pod>")
    told = f"answered with {refusal_text(scene, first)}"
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=0.85,
        summary=(
            f"nothing listens on the target port {port} of {group.name}: its endpoints are ready "
            f"and refuse, {endpoint(ip, port)} ({plain(pod) or 'no pod named'}) for one"
        ),
        evidence=(
            Evidence("object", f"target port {port}: {why}"),
            *flow_lines(scene, group.rows, "packet", told),
        ),
        remedy=CAUSE.steps(
            namespace=namespace,
            name=name,
            target=str(port),
            pod_namespace=pod_namespace,
            pod=pod_name,
        ),
    )
