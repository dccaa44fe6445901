"""A request to a port no Service serves goes round until its time to live is over.

Claims: node and router send it to each other.
Evidence: the Service's address without that port, and one SYN seen more often on one
interface than any client repeats it; an ICMP time exceeded where it comes by here.
Cannot know: which router; nothing is claimed where packets are not seen, nor of
datagrams, which a client may well send that often.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import is_ipv4, text
from tracer.diagnosis import signs
from tracer.diagnosis.causes.addresses import ROUTING_LOOP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.service_addresses import ports_of, unserved
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, prefix, refusal_text
from tracer.events import Protocol
from tracer.flow import Leg, Rows, Seen

QUIET_NS = 10_000_000_000
ROUNDS = 16
"""Repetitions of one SYN on one interface: a client's own are 6 at most, each seen twice where
it comes and goes by the same interface."""


class RoutingLoop:
    """Explains requests that were passed on until they were too old."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each address."""
        flows = scene.table.flows
        often = flows["retransmits"][rows] >= ROUNDS
        tcp = flows["protocol"][rows] == Protocol.TCP
        lost = rows[tcp & often & ~signs.answered(flows, rows)]
        for group in by_destination(scene, lost[unserved(scene, lost)]):
            yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until nothing has gone round for a while."""
        quiet = scene.now_ns - finding.last_ns >= QUIET_NS
        return not quiet and not answered_since(scene, finding)


def _finding(scene: Scene, group: Group) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    service = scene.cluster.service_by_address[group.virtual]
    rounds = int(flows["leg_packets"][first, Leg.CLIENT_OUT])
    ended = bool(int(flows["seen"][first]) & Seen.ICMP_REFUSED)
    then = f", then refused with {refusal_text(scene, first)}" if ended else ""
    told = f"one request seen {rounds} times on one interface{then}"
    serves = f"Service {plain(service.key)} has that address and serves {ports_of(service)}"
    return flow_finding(
        scene,
        CAUSE,
        Subject(service.key, group.virtual, None, group.subject(scene).flow),
        group.rows,
        confidence=0.9,
        summary=(
            f"requests to {group.name}, a port no Service serves, go round between this node and "
            "its router until they expire"
        ),
        evidence=(Evidence("object", serves), *flow_lines(scene, group.rows, "packet", told)),
        remedy=CAUSE.steps(
            address=text(group.virtual),
            prefix=prefix(group.virtual),
            tool="iptables" if is_ipv4(group.virtual) else "ip6tables",
        ),
    )
