"""Ports that the node serves without a listening socket.

Claims: these ports answer on the node although no socket listens on them.
Evidence: node ports of the Services, and external addresses that are this node's own.
Cannot know: which of them a firewall outside keeps clients from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.address import is_ipv4, text
from tracer.cluster.model import Service
from tracer.diagnosis.causes.audited import HIDDEN_LISTENER as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain, protocol_name

SHOWN = 9


class HiddenListener:
    """Judges the state: what a port scan finds and a list of sockets does not."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        served = [one for service in scene.cluster.services for one in _served(scene, service)]
        if not served:
            return
        node = this_node(scene)
        ports = sorted({port for port, _ in served})
        own = sorted(ip for ip in scene.node.local_addresses if ip in scene.cluster.node_by_address)
        at = next((ip for ip in own if is_ipv4(ip)), own[0] if own else b"")
        shown = ", ".join(map(str, ports[:6])) + (", …" if len(ports) > 6 else "")
        yield state_finding(
            scene,
            CAUSE,
            Subject(node=node or None),
            confidence=0.95,
            summary=(
                f"{len(ports)} ports ({shown}) are served on every node without a listening "
                "socket; clients that use one node's address fail when that node does"
            ),
            evidence=list(_evidence(served)),
            remedy=CAUSE.steps(address=text(at) if at else "<node address>", port=str(ports[0])),
        )


def _served(scene: Scene, service: Service) -> Iterator[tuple[int, str]]:
    """(port, what it is) of each port on the node's own addresses."""
    if service.proxied_by:
        return
    own = scene.cluster.node_by_address.keys() | scene.node.local_addresses
    outside = [ip for ip in (*service.external_ips, *service.load_balancer_ips) if ip in own]
    for port in service.ports:
        name = f"Service {plain(service.key)}"
        policy = f", externalTrafficPolicy {service.external_policy}"
        if port.node_port:
            told = f"{protocol_name(port.protocol)} node port {port.node_port}"
            yield port.node_port, f"{told}: {name}{policy}"
        for ip in outside:
            told = f"{protocol_name(port.protocol)} {text(ip)} port {port.port}"
            yield port.port, f"{told}: {name} (external address)"


def _evidence(served: list[tuple[int, str]]) -> Iterator[Evidence]:
    ordered = sorted(served)
    yield from (Evidence("object", told) for _, told in ordered[:SHOWN])
    if len(ordered) > SHOWN:
        yield Evidence("object", f"and {len(ordered) - SHOWN} more")
