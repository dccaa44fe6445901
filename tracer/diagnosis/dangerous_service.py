"""A Service claims an address that somebody else in the cluster uses.

Claims: whoever may create Services in that namespace takes connections that are meant
for a node, a pod, another Service or an outside machine that is talked to.
Evidence: externalIPs and load balancer addresses against the nodes' addresses, their
ranges of pods, the other Services' addresses, and the addresses of existing flows.
Cannot know: who created the Service and whether it was agreed upon; whether an address
that no node has any more floats between machines on purpose (keepalived, kube-vip).
A node's address in ipvs mode is ``ipvs-external-ip-is-node-ip``; public addresses and
next hops in rule modes have a rule of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracer.address import is_ipv4, text
from tracer.cluster.model import Service
from tracer.diagnosis.causes.claims import EXTERNAL_IP_HIJACK as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.places import distinct, within
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.service_addresses import ports_of
from tracer.diagnosis.state_findings import links, state_finding
from tracer.diagnosis.wording import plain, service_word


@dataclass(frozen=True, slots=True)
class _Reason:
    """Whose the address is, and what is lost to them."""

    whose: str
    reach: str
    severity: Severity = Severity.WARNING


class DangerousService:
    """Judges the state: claimed addresses against everybody's."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service and address."""
        users = _users(scene)
        talked_to = _talked_to(scene)
        for service in sorted(scene.cluster.services, key=lambda service: service.key):
            for address, field in _claims(service):
                reason = _reason(scene, service, address, users, address in talked_to)
                if reason is not None:
                    yield _finding(scene, service, address, field, reason)


def _claims(service: Service) -> Iterator[tuple[bytes, str]]:
    """Addresses that an author of the Service, or of its status, chose."""
    yield from ((address, "spec.externalIPs") for address in service.external_ips)
    modes = service.load_balancer_modes or ("VIP",) * len(service.load_balancer_ips)
    for address, mode in zip(service.load_balancer_ips, modes, strict=False):
        if mode != "Proxy" and address not in service.external_ips:
            yield address, "status.loadBalancer.ingress"


def _users(scene: Scene) -> dict[bytes, list[Service]]:
    """Services by each of their addresses."""
    found: dict[bytes, list[Service]] = {}
    for service in scene.cluster.services:
        for ip in {*service.cluster_ips, *service.external_ips, *service.load_balancer_ips}:
            found.setdefault(ip, []).append(service)
    return found


def _talked_to(scene: Scene) -> frozenset[bytes]:
    """Destinations of existing flows that no Service translated."""
    flows = scene.table.flows
    rows = scene.table.alive()
    rows = rows[(flows["virtual"][rows] == flows["backend"][rows]).all(axis=1)]
    rows = rows[flows["service"][rows] < 0]
    return frozenset(distinct(scene, rows, "virtual")) if rows.size else frozenset()


def _reason(
    scene: Scene, service: Service, address: bytes, users: dict[bytes, list[Service]], used: bool
) -> _Reason | None:
    cluster = scene.cluster
    ports = ports_of(service)
    if owner := cluster.node_by_address.get(address):
        if scene.node.proxy_mode == "ipvs":
            return None
        role = "control-plane node" if owner.control_plane else "node"
        reach = f"connections to {ports} of that {role} end in the Service's pods"
        unless = "; in ipvs mode every other node would lose it on all ports"
        return _Reason(f"the address of {role} {plain(owner.name)}", reach + unless)
    if pod := cluster.read_pod_by_address.get(address):
        return _Reason(
            f"the address of pod {plain(pod.key)}", f"connections to {ports} of that pod"
        )
    if within(address, (cidr for node in cluster.nodes for cidr in node.pod_cidrs)):
        return _Reason("in the nodes' range of pods", f"{ports} of whichever pod gets the address")
    for other in users[address]:
        if other.key != service.key and _collide(service, other, address):
            reach = f"connections to {ports} of that Service, from every pod and node"
            return _Reason(f"an address of Service {plain(other.key)}", reach)
    if used and address in service.external_ips:
        reach = f"connections of pods and nodes to {ports} there"
        return _Reason("an address that flows of this node go to", reach)
    return _stale(scene, service, address)


def _stale(scene: Scene, service: Service, address: bytes) -> _Reason | None:
    """An address in the nodes' network beside others that are nodes': a list kept by hand."""
    beside = [ip for ip in service.external_ips if ip in scene.cluster.node_by_address]
    if not any(is_ipv4(ip) == is_ipv4(address) for ip in beside):
        return None
    if not within(address, (str(network) for _, network in links(scene))):
        return None
    whose = f"no node's address any more, unlike {', '.join(map(text, beside[:3]))} beside it"
    return _Reason(whose, "the next machine to get it loses its connections", Severity.INFO)


def _collide(service: Service, other: Service, address: bytes) -> bool:
    """Whether both serve a port there, or the other has the address as its own ClusterIP.

    Load balancers may share an address between Services with different ports.
    """
    if address in other.cluster_ips:
        return True
    mine = {(port.protocol, port.port) for port in service.ports}
    return bool(mine & {(port.protocol, port.port) for port in other.ports})


def _finding(
    scene: Scene, service: Service, address: bytes, field: str, reason: _Reason
) -> Finding:
    namespace, name = service_word(service.key)
    who = f"whoever may create Services in namespace {plain(service.namespace)} can do this"
    return state_finding(
        scene,
        CAUSE,
        Subject(service=service.key, address=address),
        severity=reason.severity,
        confidence=0.9,
        summary=(
            f"Service {plain(service.key)} claims {text(address)}, {reason.whose}: {reason.reach}"
        ),
        evidence=(
            Evidence("object", f"Service {plain(service.key)}: {field} has {text(address)}"),
            Evidence("object", f"{text(address)} is {reason.whose}"),
            Evidence("object", who),
        ),
        remedy=CAUSE.steps(namespace=namespace, name=name),
    )
