"""A ready endpoint has weight 0 in IPVS.

Claims: no new connection is sent to that endpoint.
Evidence: the virtual server's list against the EndpointSlices.
Cannot know: from a state alone, whether the endpoint became ready a moment ago. Where that
was watched kube-proxy has its time to follow first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.address import endpoint
from tracer.cluster.model import Endpoint, endpoint_key
from tracer.diagnosis.causes.servers import WEIGHT_ZERO as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import FOLLOWS_NS, Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.virtual_servers import option, served
from tracer.diagnosis.wording import plain
from tracer.node.model import VirtualServer


class WeightZero:
    """Judges the state: weights against readiness."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service and endpoint."""
        if not scene.node.virtual_servers or "endpoints" not in scene.cluster.known:
            return
        told: set[tuple[str, bytes]] = set()
        services = served(scene)
        for server in scene.node.virtual_servers:
            found = services.get((server.protocol, server.ip, server.port))
            if found is None:
                continue
            key, port_name = found
            ready = {
                (e.ip, e.port)
                for e in scene.cluster.endpoints_by_service.get(key, ())
                if e.port_name == port_name and e.ready and not _new(scene, e)
            }
            for ip, port in _without_weight(server):
                if (ip, port) in ready and (key, ip) not in told:
                    told.add((key, ip))
                    yield _finding(scene, server, key, ip, port)


def _new(scene: Scene, found: Endpoint) -> bool:
    """Whether it came so lately that kube-proxy may still be about to follow."""
    came_ns = scene.cluster.arrivals.get(endpoint_key(found))
    return came_ns is not None and scene.now_ns - came_ns < FOLLOWS_NS


def _without_weight(server: VirtualServer) -> Iterator[tuple[bytes, int]]:
    yield from ((ip, port) for ip, port, weight in server.backends if weight == 0)


def _finding(scene: Scene, server: VirtualServer, key: str, ip: bytes, port: int) -> Finding:
    at, virtual = endpoint(ip, port), endpoint(server.ip, server.port)
    alone = all(weight == 0 for _, _, weight in server.backends)
    after = "all its requests are refused" if alone else "it gets no new connections"
    return state_finding(
        scene,
        CAUSE,
        Subject(service=key, address=ip),
        summary=(
            f"{at} is a ready endpoint of Service {plain(key)} and has weight 0 in IPVS: "
            + (f"with the others of {virtual} at 0, too, {after}" if alone else after)
        ),
        evidence=(
            Evidence("ipvs", f"virtual server {virtual}: real server {at}, weight 0"),
            Evidence("object", f"EndpointSlices of Service {plain(key)}: {at} is ready"),
        ),
        remedy=CAUSE.steps(option=option(server), virtual=virtual, server=at),
    )
