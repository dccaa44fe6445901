"""Somebody pinged a Service's address.

Claims: the echo request says nothing about the Service, which is not to blame.
Evidence: an echo request to an address that is a Service's alone, refused or without
an answer.
Cannot know: whether the Service works; its own findings tell.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import text
from tracer.cluster.model import Service
from tracer.diagnosis import signs
from tracer.diagnosis.causes.addresses import PING_VIP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.service_addresses import ports_of, unserved
from tracer.diagnosis.subjects import Group, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, refusal_text
from tracer.events import Protocol
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000


class PingVip:
    """Explains echo requests to Services."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service address."""
        flows = scene.table.flows
        echo = np.isin(flows["protocol"][rows], (Protocol.ICMP, Protocol.ICMPV6))
        told = signs.has(flows, rows, Seen.ICMP_REFUSED | Seen.DROPPED)
        lost = echo & ~signs.answered(flows, rows) & (told | signs.silent(scene, rows))
        astray = rows[lost]
        for group in by_destination(scene, astray[unserved(scene, astray)]):
            yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until nobody has pinged for a while."""
        return scene.now_ns - finding.last_ns < QUIET_NS


def _port(service: Service) -> str:
    """One of its ports as nc takes it, one of TCP where there is one; it tries TCP itself."""
    for wanted, option in ((Protocol.TCP, ""), (Protocol.UDP, "-u "), (Protocol.SCTP, "--sctp ")):
        for port in service.ports:
            if port.protocol == wanted:
                return f"{option}{port.port}"
    return "<port>"


def _finding(scene: Scene, group: Group) -> Finding:
    service, first = scene.cluster.service_by_address[group.virtual], int(group.rows[0])
    refused = int(scene.table.flows["seen"][first]) & Seen.ICMP_REFUSED
    told = f"refused with {refusal_text(scene, first)}" if refused else "no answer"
    serves = f"Service {plain(service.key)} serves {ports_of(service)}, not echo requests"
    return flow_finding(
        scene,
        CAUSE,
        Subject(service.key, group.virtual, None, group.subject(scene).flow),
        group.rows,
        confidence=0.95,
        summary=(
            f"a ping to {text(group.virtual)} says nothing about Service {plain(service.key)}: "
            f"it serves {ports_of(service)} only"
        ),
        evidence=(Evidence("object", serves), *flow_lines(scene, group.rows, "packet", told)),
        remedy=CAUSE.steps(
            address=text(group.virtual),
            port=_port(service),
            ports=ports_of(service),
        ),
    )
