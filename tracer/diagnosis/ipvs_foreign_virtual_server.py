"""IPVS holds a virtual server that is no Service's.

Claims: nobody in Kubernetes answers for that server, and kube-proxy leaves it alone.
Evidence: IPVS's list against every address and port of the cluster's Services.
Cannot know: whether keepalived or another balancer means it to be there. Nothing is
claimed where the Services are not known.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint
from tracer.diagnosis.causes.servers import FOREIGN_SERVER as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.virtual_servers import option, served
from tracer.diagnosis.wording import prefix
from tracer.node.model import VirtualServer


class ForeignServer:
    """Judges the state: virtual servers without a Service."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each address."""
        if scene.node.proxy_mode != "ipvs" or not scene.cluster.services:
            return
        services = served(scene)
        told: set[bytes] = set()
        for server in scene.node.virtual_servers:
            place = (server.protocol, server.ip, server.port)
            if any(server.ip) and place not in services and server.ip not in told:
                told.add(server.ip)
                yield _finding(scene, server)


def _finding(scene: Scene, server: VirtualServer) -> Finding:
    virtual = endpoint(server.ip, server.port)
    to = ", ".join(endpoint(ip, port) for ip, port, _ in server.backends[:4]) or "nobody"
    return state_finding(
        scene,
        CAUSE,
        Subject(address=server.ip, node=this_node(scene) or None),
        confidence=0.8,
        summary=f"IPVS sends {virtual} to {to}, and no Service has that address and port",
        evidence=(Evidence("ipvs", f"virtual server {virtual}: {to}"),),
        remedy=CAUSE.steps(virtual=virtual, option=option(server), prefix=prefix(server.ip)),
    )
