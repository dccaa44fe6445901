"""Services that would refuse or drop connections, from the EndpointSlices alone.

The causes are those of the rules that judge flows; here nobody has asked yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.cluster.model import Endpoint, Service, ServicePort
from tracer.diagnosis.causes.endpoints import NO_ENDPOINTS, NO_LOCAL_ENDPOINT
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.local_policy import policy_remedy
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain, service_word, word
from tracer.drift.wanted import programmed_for


class WithoutEndpoints:
    """Judges the state: Services of which no endpoint can be used."""

    name = NO_ENDPOINTS.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service."""
        if "endpoints" not in scene.cluster.known:
            return
        for service in scene.cluster.services:
            empty = [port for port in service.ports if not _usable(scene, service, port)]
            if programmed_for(service) and empty:
                yield _without_endpoints(scene, service, empty)


class WithoutLocalEndpoint:
    """Judges the state: policy Local where this node has no endpoint, and others have."""

    name = NO_LOCAL_ENDPOINT.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service; it is policy, not a fault."""
        node = this_node(scene)
        if not node or "endpoints" not in scene.cluster.known:
            return
        for service in scene.cluster.services:
            field = _local_field(scene, service)
            usable = [e for port in service.ports for e in _usable(scene, service, port)]
            away = bool(usable) and all(endpoint.node != node for endpoint in usable)
            if field and away and programmed_for(service):
                yield _without_local(scene, service, field, node)


def _usable(scene: Scene, service: Service, port: ServicePort) -> tuple[Endpoint, ...]:
    return scene.cluster.usable_endpoints(service.key, port.name)


def _local_field(scene: Scene, service: Service) -> str:
    """The field that says Local and whose traffic kube-proxy would drop; empty for none."""
    outside = any(port.node_port for port in service.ports) or (
        service.external_ips or service.load_balancer_ips
    )
    if service.external_policy == "Local" and outside and scene.node.proxy_mode != "ipvs":
        return "externalTrafficPolicy"
    return "internalTrafficPolicy" if service.internal_policy == "Local" else ""


def _without_endpoints(scene: Scene, service: Service, empty: list[ServicePort]) -> Finding:
    known = scene.cluster.endpoints_by_service.get(service.key, ())
    namespace, name = service_word(service.key)
    labels = ",".join(f"{key}={value}" for key, value in sorted(service.selector.items()))
    ports = ", ".join(plain(port.name) or str(port.port) for port in empty)
    return state_finding(
        scene,
        NO_ENDPOINTS,
        Subject(service=service.key),
        severity=Severity.WARNING if service.selector else Severity.INFO,
        confidence=0.95,
        summary=(
            f"Service {plain(service.key)} has no usable endpoint (port {ports}): connections to "
            "it are refused"
        ),
        evidence=list(_conditions(service, known)),
        remedy=NO_ENDPOINTS.steps(
            namespace=namespace, name=name, selector=word(labels) if labels else "<selector>"
        ),
    )


def _conditions(service: Service, known: tuple[Endpoint, ...]) -> Iterator[Evidence]:
    told = f"{len(known)} listed, none ready" if known else "none listed"
    yield Evidence("object", f"EndpointSlices of Service {plain(service.key)}: {told}")
    if not service.selector:
        yield Evidence("object", "the Service has no selector: somebody must keep its slices")


def _without_local(scene: Scene, service: Service, field: str, node: str) -> Finding:
    endpoints = scene.cluster.usable_endpoints(service.key)
    elsewhere = sorted({endpoint.node for endpoint in endpoints if endpoint.node})
    shown = ", ".join(map(plain, elsewhere[:4])) or "other nodes"
    return state_finding(
        scene,
        NO_LOCAL_ENDPOINT,
        Subject(service=service.key, node=node),
        severity=Severity.INFO,
        confidence=0.95,
        summary=(
            f"node {plain(node)} drops what comes to Service {plain(service.key)} here, by policy "
            f"({field}: Local): its endpoints are on {shown}"
        ),
        evidence=(Evidence("object", f"{field}: Local; endpoints only on {shown}"),),
        remedy=policy_remedy(NO_LOCAL_ENDPOINT, service, field),
    )
