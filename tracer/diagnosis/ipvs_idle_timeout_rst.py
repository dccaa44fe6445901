"""IPVS had forgotten an established connection, and this node reset it.

Claims: the connection's entry in IPVS had run out, so that its next packet was
delivered to the node itself.
Evidence: an IPVS connection that had been answered, and a reset in the name of the
Service's address that the backend did not send, while the backend is still an endpoint.
Where the connection's entry in conntrack went with it, the reset is that of another one on
the same ports, which begins without a request and is not translated.
Where a packet of it was dropped before, its server was removed (expire_nodest_conn), and
nothing is claimed.
Cannot know: how long it had been idle; an entry that was removed by hand looks the
same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.servers import IDLE_TIMEOUT_RST as CAUSE
from tracer.diagnosis.departures import departed
from tracer.diagnosis.finding import Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, by_backend, by_destination, flow_finding, since_lost
from tracer.diagnosis.wording import flow_lines
from tracer.events import Protocol
from tracer.flow import Flows, Leg, Rows, Seen
from tracer.flows.former import predecessors
from tracer.index import ascending

QUIET_NS = 120_000_000_000
_BEGUN = Seen.SYN | Seen.SYN_TRANSLATED | Seen.TRANSLATED | Seen.IPVS_NEW
_TOGETHER_NS = 5_000_000_000
"""How far conntrack's word and the packet it is about may be apart."""


class IdleTimeoutRst:
    """Explains resets of connections that worked."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service."""
        flows = scene.table.flows
        rows = rows[flows["protocol"][rows] == Protocol.TCP]
        for finding, where in _reset(scene, rows[_worked_and_reset(scene, rows)]):
            yield since_lost(scene, finding, where), where
        strange, late = rows[_strangers(flows, rows)], rows[_late_word(scene, rows)]
        former = _former(scene, strange) if strange.size else strange
        for told, old in ((strange, former), (late, predecessors(flows, late))):
            for finding, where in _reset(scene, ascending(old[old >= 0])):
                mine = told[np.isin(old, where)]
                yield since_lost(scene, finding, mine), mine

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until no connection was reset so for a while."""
        return scene.now_ns - finding.last_ns < QUIET_NS


def _reset(scene: Scene, rows: Rows) -> Iterator[tuple[Finding, Rows]]:
    """One finding for each Service and backend that is one still."""
    for group in by_destination(scene, rows):
        if group.service(scene) is None:
            continue
        for part in by_backend(scene, group):
            if not departed(scene, part):
                yield _finding(scene, part), part.rows


def _worked_and_reset(scene: Scene, rows: Rows) -> signs.Mask:
    flows = scene.table.flows
    ipvs = signs.has(flows, rows, Seen.IPVS_NEW)
    kept = signs.answered(flows, rows) & ~drops.by_netfilter(scene, rows)
    return ipvs & kept & _by_the_node(scene, rows)


def _late_word(scene: Scene, rows: Rows) -> signs.Mask:
    """Entries that conntrack made of such a straggler, told after its packet and the reset.

    Those were seen of the connection that was on these ports before.
    """
    flows = scene.table.flows
    heard = _BEGUN | signs.REFUSED | Seen.PACKETS | Seen.RST_BACKEND | Seen.RST_LOCAL
    unheard = signs.has(flows, rows, Seen.MAPPED) & ~signs.has(flows, rows, heard)
    before = predecessors(flows, rows)
    apart_ns = np.abs(flows["first_ns"][rows] - flows["last_ns"][before])
    worked = (before >= 0) & _worked_and_reset(scene, before)
    return np.asarray(unheard & worked & (apart_ns < _TOGETHER_NS))


def _strangers(flows: Flows, rows: Rows) -> signs.Mask:
    """Reset in the name of the address they asked, untranslated, and never begun."""
    strange = signs.has(flows, rows, Seen.MAPPED) & ~signs.has(flows, rows, _BEGUN)
    strange &= signs.has(flows, rows, Seen.RST_BACKEND | Seen.RST_LOCAL)
    return strange & signs.same(flows["refused_by"][rows], flows["virtual"][rows])


def _former(scene: Scene, rows: Rows) -> Rows:
    """The latest IPVS connection on the same ports that worked and that nobody ended; or -1."""
    flows = scene.table.flows
    old = np.flatnonzero(flows["alive"] & np.isin(flows["client_port"], flows["client_port"][rows]))
    old = old[signs.has(flows, old, Seen.IPVS_NEW) & signs.has(flows, old, Seen.ENDED)]
    ended = signs.has(flows, old, Seen.FIN | Seen.RST_CLIENT | Seen.RST_BACKEND)
    old = old[signs.answered(flows, old) & ~ended & ~drops.by_netfilter(scene, old)]
    old = old[np.argsort(flows["id"][old], kind="stable")]
    both = np.concatenate([old, rows])
    ends = np.column_stack(
        (
            *(flows[name][both] for name in ("client", "virtual")),
            *(flows[name][both].astype(np.uint64) for name in ("client_port", "virtual_port")),
            flows["netns"][both].astype(np.uint64),
        )
    )
    _, which = np.unique(ends, axis=0, return_inverse=True)
    which = which.reshape(-1)
    latest = np.full(len(both), -1, dtype=np.intp)
    latest[which[: len(old)]] = old
    return latest[which[len(old) :]]


def _by_the_node(scene: Scene, rows: Rows) -> signs.Mask:
    """Reset in the Service's name, and not by the backend, whose packets were seen.

    Where some were lost, the backend's reset may be among them: the kernel must say that it
    sent one.
    """
    flows = scene.table.flows
    named = signs.same(flows["refused_by"][rows], flows["virtual"][rows])
    named &= ~signs.same(flows["backend"][rows], flows["virtual"][rows])
    watched = (flows["leg_packets"][rows, Leg.BACKEND_IN] > 0) & signs.has(
        flows, rows, Seen.RST_BACKEND
    )
    sent = signs.has(flows, rows, Seen.RST_LOCAL)
    answered = ~signs.has(flows, rows, Seen.RST_BEFORE_ANSWER)
    watched &= not scene.recent_lost
    return np.asarray(named & (watched | sent) & answered)


def _finding(scene: Scene, group: Group) -> Finding:
    subject = group.subject(scene)
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, None, None, subject.flow),
        group.rows,
        confidence=0.8,
        summary=(
            f"established connections to {group.name} are reset by this node: IPVS has no entry "
            "for them any more, as after a long idle time"
        ),
        evidence=flow_lines(
            scene, group.rows, "kernel", "answered before, then reset in the Service's name"
        ),
        remedy=CAUSE.steps(),
    )
