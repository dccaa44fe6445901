"""Endpoints carry hints for zones that no node is in.

Claims: those endpoints are left out wherever hints are followed.
Evidence: hints at every ready endpoint of a Service, and zones of nodes among which one
of the hinted ones is missing.
Cannot know: whether kube-proxy follows the hints (it does when all endpoints have some
and this node's zone is known); nothing is lost by it, others get too much.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnosis.causes.policies import TOPOLOGY_HINTS as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.wording import listed, plain, service_word


class TopologyHints:
    """Judges the state: hints against zones."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service."""
        zones = {node.zone for node in scene.cluster.nodes if node.zone}
        if not zones or "endpoints" not in scene.cluster.known:
            return
        for service in scene.cluster.services:
            ready = [e for e in scene.cluster.endpoints_by_service.get(service.key, ()) if e.ready]
            if not ready or not all(endpoint.zones for endpoint in ready):
                continue
            lost = sorted({zone for endpoint in ready for zone in endpoint.zones} - zones)
            if lost:
                yield _finding(scene, service.key, lost, sorted(zones))


def _finding(scene: Scene, key: str, lost: list[str], zones: list[str]) -> Finding:
    namespace, name = service_word(key)
    return state_finding(
        scene,
        CAUSE,
        Subject(service=key),
        confidence=0.85,
        summary=(
            f"endpoints of Service {plain(key)} are kept for zone {listed(lost[:3], 'none')}, and "
            f"nodes are in {listed(zones[:5], 'none')} only"
        ),
        evidence=(
            Evidence("object", f"EndpointSlices of {plain(key)}: hints for {listed(lost, 'none')}"),
        ),
        remedy=CAUSE.steps(namespace=namespace, name=name),
    )
