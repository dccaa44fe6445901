"""The node has no route for a Service's address.

Claims: processes of the node itself cannot use the Service: their packets are routed
before they are translated, and there is no way to go.
Evidence: the node's routes in a mode that needs one (ipvs binds the addresses).
Cannot know: whether any process of the node wants to; pods are not affected, whose
packets are translated first. Policy rules are taken for granted: a route in any
table counts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from tracer.address import is_ipv4, text
from tracer.diagnosis.causes.cause import RULE_MODES
from tracer.diagnosis.causes.host import NO_DEFAULT_ROUTE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain
from tracer.node.routing import Route

_WAYS_OUT = ("unicast", "local")


class NoDefaultRoute:
    """Judges the state: routes against the Services' addresses."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each address family."""
        known = "routes" in scene.node.known and scene.node.routes
        if not known or scene.node.proxy_mode not in RULE_MODES:
            return
        if scene.cluster.nodes and not this_node(scene):
            return  # a machine that is no node needs no way to Services
        for ipv6 in (False, True):
            lost = [
                (ip, service.key)
                for ip, service in scene.cluster.service_by_address.items()
                if ip in service.cluster_ips and is_ipv4(ip) != ipv6
            ]
            if not any(route.ipv6 == ipv6 for route in scene.node.routes):
                continue  # not listed
            ways = [route for route in scene.node.routes if _leads_on(route, ipv6)]
            lost = [(ip, key) for ip, key in lost if not any(_covers(r, ip) for r in ways)]
            if lost and _has_family(scene, ipv6):
                yield _finding(scene, lost[0][0], plain(lost[0][1]), len(lost))


def _leads_on(route: Route, ipv6: bool) -> bool:
    return route.ipv6 == ipv6 and route.usable and route.kind in _WAYS_OUT


def _covers(route: Route, ip: bytes) -> bool:
    """Whether a route's network holds the address."""
    bits = route.prefix
    shift = 128 - bits
    return int.from_bytes(route.network) >> shift == int.from_bytes(ip) >> shift


def _has_family(scene: Scene, ipv6: bool) -> bool:
    """Whether the node has an address of this family that leads anywhere."""
    for entry in scene.node.addresses:
        known = ipaddress.ip_address(text(entry.ip))
        if (known.version == 6) == ipv6 and not (known.is_loopback or known.is_link_local):
            return True
    return False


def _finding(scene: Scene, address: bytes, service: str, number: int) -> Finding:
    more = f" and {number - 1} more" if number > 1 else ""
    node = this_node(scene)
    where = f"node {plain(node)}" if node else "this node"
    return Finding(
        cause=CAUSE.id,
        severity=CAUSE.severity,
        confidence=0.9,
        since_ns=scene.now_ns or scene.node.at_ns,
        subject=Subject(address=address, node=node or None),
        summary=(
            f"{where} has no route for {text(address)} (Service {service}){more}: its own "
            "processes get 'network is unreachable', its pods do not"
        ),
        evidence=(
            Evidence("rule", f"no route of any table covers {text(address)}, no default route"),
        ),
        remedy=CAUSE.steps(address=text(address)),
        count=0,
    )
