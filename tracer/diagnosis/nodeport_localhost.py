"""A node port was asked for on the node's loopback address.

Claims: node ports are not served there in this mode (or with this setting).
Evidence: a request on loopback to a port that is a node port of a Service, refused,
dropped or not answered.
Cannot know: whether a Service was meant at all; hence only information. Where
something answers, or the node port is served there, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import is_ipv4, parse, text
from tracer.cluster.model import Service
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.addresses import NODE_PORT_ON_LOOPBACK as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_destination, flow_finding, this_node
from tracer.diagnosis.wording import flow_lines, flow_subject, plain, refusal_text
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_SETTING = "net.ipv4.conf.all.route_localnet"


class NodePortOnLoopback:
    """Explains requests to node ports on loopback addresses."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each node port."""
        served = _node_ports(scene)
        flows = scene.table.flows
        known = np.fromiter((port for _, port in served), np.uint16, len(served))
        maybe = np.isin(flows["virtual_port"][rows], known) & ~signs.answered(flows, rows)
        maybe &= signs.witnessed(flows, rows)
        maybe &= signs.has(flows, rows, signs.REFUSED | Seen.DROPPED) | signs.silent(scene, rows)
        if not maybe.any():
            return
        asked = places.distinct(scene, rows[maybe], "virtual")
        loopback = frozenset(ip for ip in asked if places.within(ip, _LOOPBACK))
        lost = rows[maybe & signs.among(flows["virtual"][rows], loopback)]
        for group in by_destination(scene, lost):
            flow = flow_subject(scene, int(group.rows[0]))
            service = served.get((flow.protocol, flow.dst_port))
            if service is not None:
                yield _finding(scene, group, service), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until nobody has asked for a while."""
        return scene.now_ns - finding.last_ns < QUIET_NS


def _node_ports(scene: Scene) -> dict[tuple[int, int], Service]:
    return {
        (port.protocol, port.node_port): service
        for service in scene.cluster.services
        for port in service.ports
        if port.node_port
    }


def _node_address(scene: Scene, like: bytes) -> str:
    """An address of this node of the same family; else a word for it."""
    name = this_node(scene)
    for node in scene.cluster.nodes:
        if node.name == name:
            for ip in node.addresses:
                if is_ipv4(ip) == is_ipv4(like):
                    return text(ip) if is_ipv4(ip) else f"[{text(ip)}]"
    return "<node address>"


def _why(scene: Scene, address: bytes) -> Evidence:
    mode = scene.node.proxy_mode
    if not is_ipv4(address):
        return Evidence("rule", f"no mode serves node ports on {text(parse('::1'))}")
    value = scene.node.sysctls.get(_SETTING)
    if mode == "iptables" and value is not None:
        return Evidence("sysctl", f"{_SETTING} = {value}")
    return Evidence("rule", f"{mode or 'this'} mode serves no node ports on loopback addresses")


def _finding(scene: Scene, group: Group, service: Service) -> Finding:
    first = int(group.rows[0])
    steps = CAUSE.steps(address=_node_address(scene, group.virtual), port=str(group.port))
    settable = is_ipv4(group.virtual) and scene.node.proxy_mode in ("iptables", "")
    refused = bool(signs.has(scene.table.flows, group.rows, signs.REFUSED)[0])
    told = f"refused with {refusal_text(scene, first)}" if refused else "no answer"
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        confidence=0.8,
        summary=(
            f"{group.name} is the node port of Service {plain(service.key)}, which is not served "
            "on the loopback address"
        ),
        evidence=(
            _why(scene, group.virtual),
            *flow_lines(scene, group.rows, "packet", told),
        ),
        remedy=steps if settable else steps[:1],
    )
