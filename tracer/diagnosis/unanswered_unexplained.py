"""A request was sent on, and nothing came back.

Claims: no answer within 3 s, no drop seen, no known cause; said a little later, when the
kernel would have found that the next hop's address has no host.
Evidence: the request (repeated, the better) and the absence of any answer where
other flows' answers are seen.
Cannot know: where it was lost. Nothing is said when no answers at all are visible
where the request was, when the client itself gave up, or of datagrams to a backend
that answers some of them, or to a destination that never answered any.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.diagnosis import signs
from tracer.diagnosis.causes.fallbacks import UNANSWERED_UNEXPLAINED as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_backend,
    by_destination,
    flow_finding,
)
from tracer.diagnosis.wording import flow_lines, plain
from tracer.events import Protocol
from tracer.flow import Leg, Rows, Seen

QUIET_NS = 10_000_000_000
_ASKED_TWICE = 2
_SENDERS = 3
"""Of datagrams to one backend, each sent twice: fewer may be such that want no answer."""


class UnansweredUnexplained:
    """The fallback for silence."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each destination and transport."""
        flows = scene.table.flows
        rows = rows[signs.silent(scene, rows)]
        rows = rows[scene.final | signs.waited(flows, rows, scene.now_ns, signs.NEIGHBOUR_WAIT_NS)]
        ours = (flows["service"][rows] >= 0) | signs.has(flows, rows, Seen.TRANSLATED)
        ended = signs.has(flows, rows, signs.REFUSED | Seen.RST_CLIENT | Seen.RST_BACKEND)
        rows = rows[ours & ~ended & signs.answers_visible(scene, rows)]
        tcp = flows["protocol"][rows] == Protocol.TCP
        datagrams = np.isin(flows["protocol"][rows], (Protocol.UDP, Protocol.SCTP))
        repeated = signs.requests(flows, rows) >= _ASKED_TWICE
        for group in by_destination(scene, rows[tcp]):
            severity = CAUSE.severity if _insists(scene, group) else Severity.INFO
            yield _finding(scene, group, _tcp_confidence(scene, group), severity), group.rows
        asking = rows[datagrams & repeated]
        senders = _senders(scene) if asking.size else asking
        virtual = flows["virtual"][senders]
        for group in by_destination(scene, asking):
            same = senders[signs.among(virtual, frozenset({group.virtual}))]
            for part in by_backend(scene, group):
                if _stands_out(scene, part, same):
                    confidence = scene.absence_confidence(0.3)
                    yield _finding(scene, part, confidence, Severity.INFO), part.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the destination answers again and nothing was lost for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _senders(scene: Scene) -> Rows:
    """All flows of datagrams."""
    flows = scene.table.flows
    udp, sctp = (flows["protocol"] == np.uint8(each) for each in (Protocol.UDP, Protocol.SCTP))
    return np.flatnonzero(flows["alive"] & (udp | sctp))


def _stands_out(scene: Scene, group: Group, same: Rows) -> bool:
    """Whether the Service answers datagrams, but this backend none any more.

    ``same`` are all flows to the address. Many senders want no answer at all, also at ports
    where others get theirs.
    """
    flows, rows = scene.table.flows, group.rows
    first = int(rows[0])
    alike = flows["protocol"][same] == flows["protocol"][first]
    every = same[alike & (flows["virtual_port"][same] == flows["virtual_port"][first])]
    answered = signs.answered(flows, every)
    here = (flows["backend"][every] == flows["backend"][first]).all(axis=1)
    asked = here & (signs.requests(flows, every) >= _ASKED_TWICE) & ~answered
    if int(asked.sum()) < _SENDERS:
        return False
    since_ns = signs.started(flows, every[asked]).min()
    late = here & answered & (signs.started(flows, every) >= since_ns)
    return bool(answered.any() and not late.any())


def _insists(scene: Scene, group: Group) -> bool:
    """Whether some client repeated its request, or its repetitions could not be seen here.

    TCP repeats after a second: who was seen to ask once in three was answered, or gave up.
    """
    flows, rows = scene.table.flows, group.rows
    watched = signs.has(flows, rows, Seen.SYN) & signs.has(flows, rows, Seen.PACKETS)
    return bool((signs.has(flows, rows, Seen.RETRANSMITTED) | ~watched).any())


def _tcp_confidence(scene: Scene, group: Group) -> float:
    """Each repetition of the SYN makes it less likely that an answer was merely missed."""
    repeated = int(scene.table.flows["retransmits"][group.rows].max())
    return scene.absence_confidence(0.6 + 0.15 * min(repeated, 2))


def _finding(scene: Scene, group: Group, confidence: float, severity: Severity) -> Finding:
    asked = int(signs.requests(scene.table.flows, group.rows).max())
    lines = flow_lines(scene, group.rows, "packet", "no answer within 3 s, no drop seen")
    lost = (
        (Evidence("kernel", f"{scene.recent_lost} records were lost meanwhile"),)
        if scene.recent_lost
        else ()
    )
    times = f", asked up to {asked} times" if asked > 1 else ""
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        severity=severity,
        confidence=confidence,
        summary=f"requests to {group.name} are sent on and never answered{times}",
        evidence=lines + _way_out(scene, group) + lost,
        remedy=CAUSE.remedy,
    )


def _way_out(scene: Scene, group: Group) -> tuple[Evidence, ...]:
    """The interface by which a translated request was seen to leave."""
    flows, names = scene.table.flows, scene.node.interfaces
    left = flows["leg_ifindex"][group.rows, Leg.BACKEND_OUT]
    device = next((names[int(number)] for number in left if int(number) in names), "")
    if not device:
        return ()
    told = f"translated and sent out of {plain(device)}; no answer came back to this node"
    return (Evidence("packet", f"{told}; not visible from here"),)
