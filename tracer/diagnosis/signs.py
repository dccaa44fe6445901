"""What rows of the flow table show: masks and numbers that several rules reason with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn, column
from tracer.diagnosis.rule import Scene
from tracer.events import Protocol
from tracer.flow import Leg, Rows, Seen

Mask = npt.NDArray[np.bool_]
Flows = npt.NDArray[np.void]

WAIT_NS = 3_000_000_000
"""Silence after which a request counts as unanswered: TCP has asked again at 1 s by then."""

STARTED = Seen.SYN | Seen.SYN_TRANSLATED | Seen.TRANSLATED | Seen.IPVS_NEW | Seen.MAPPED
REFUSED = Seen.RST_BEFORE_ANSWER | Seen.ICMP_REFUSED | Seen.NO_DESTINATION
HURT = Seen.DROPPED | Seen.CT_FAILED | Seen.NO_ROUTE
_SPOKE = Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT
_PORT_UNREACHABLE = (3 << 8 | 3, 1 << 8 | 4)
"""ICMPv4 3/3 and ICMPv6 1/4: what REJECT and IPVS send for a Service without endpoints."""


def has(flows: Flows, rows: Rows, bits: Seen) -> Mask:
    """Whether any of these bits was witnessed."""
    return np.asarray((flows["seen"][rows] & np.uint32(bits)) != 0)


def started(flows: Flows, rows: Rows) -> npt.NDArray[np.int64]:
    """When each flow began to ask, as far as known."""
    asked = flows["request_ns"][rows]
    return np.asarray(np.where(asked > 0, asked, flows["first_ns"][rows]))


def in_order(flows: Flows, rows: Rows) -> Rows:
    """The same rows, earliest first: row numbers follow a secret hash, findings must not."""
    keys = (
        *(flows["client"][rows, word] for word in (0, 1)),
        flows["client_port"][rows],
        started(flows, rows),
    )
    ordered: Rows = rows[np.lexsort(keys)]
    return ordered


def requests(flows: Flows, rows: Rows) -> npt.NDArray[np.int64]:
    """Packets seen from the client on one interface, or counted by conntrack."""
    seen = np.maximum(flows["leg_packets"][rows, Leg.CLIENT_OUT], flows["packets"][rows, 0])
    return np.asarray(seen, dtype=np.int64)


def answered(flows: Flows, rows: Rows) -> Mask:
    """Whether anything but a refusal came back, by direct or by indirect evidence.

    Conntrack calls a reset a reply too. A TCP client that sends more than its
    SYNs has been answered, wherever the answer passed.
    """
    spoke = has(flows, rows, _SPOKE)
    reset = has(flows, rows, Seen.RST_BEFORE_ANSWER)
    replied = has(flows, rows, Seen.REPLIED | Seen.ASSURED) & ~reset
    asked_by_syn = (flows["protocol"][rows] == Protocol.TCP) & has(flows, rows, Seen.SYN)
    syns = flows["retransmits"][rows].astype(np.int64) + 1
    went_on = asked_by_syn & (flows["leg_packets"][rows, Leg.CLIENT_OUT] > syns)
    return np.asarray(spoke | replied | (went_on & ~has(flows, rows, Seen.RST_CLIENT)))


def overdue(flows: Flows, rows: Rows, now_ns: int) -> Mask:
    """Whether these asked at least ``WAIT_NS`` ago; answered or not."""
    begun = has(flows, rows, STARTED | HURT | REFUSED)
    return begun & (now_ns - started(flows, rows) >= WAIT_NS)


def suspicious(flows: Flows, rows: Rows, now_ns: int) -> Mask:
    """Rows that some rule could have to say something about."""
    failing = has(flows, rows, REFUSED | HURT) | overdue(flows, rows, now_ns)
    return (failing & ~answered(flows, rows)) | has(flows, rows, Seen.LOCAL_IN)


def evidence_state(flows: Flows, rows: Rows, now_ns: int) -> npt.NDArray[np.uint64]:
    """A number that changes whenever a row deserves another judgement; never 0.

    Holds the Seen bits and, while unanswered, whether the wait is over and how
    often the client asked (up to 7: a row is judged a handful of times at most).
    """
    silent = ~answered(flows, rows)
    asked = np.minimum(requests(flows, rows), 7) * silent
    late = overdue(flows, rows, now_ns) & silent
    state = flows["seen"][rows].astype(np.uint64)
    state |= asked.astype(np.uint64) << np.uint64(32)
    state |= late.astype(np.uint64) << np.uint64(36)
    return state | np.uint64(1 << 40)


def answers_visible(flows: Flows, rows: Rows) -> Mask:
    """Whether an answer, had there been one, would have been witnessed.

    On packets: some flow's answer was seen on an interface where this one's request
    was. From the kernel: conntrack events tell of replies, or the mapping ended
    and the kernel itself says that none came.
    """
    alive = np.flatnonzero(flows["alive"])
    return (
        _answers_on_wire(flows, rows, alive)
        | _conntrack_tells(flows, rows, alive)
        | (has(flows, rows, Seen.ENDED) & has(flows, rows, Seen.MAPPED))
    )


def _answers_on_wire(flows: Flows, rows: Rows, alive: Rows) -> Mask:
    legs = (Leg.CLIENT_IN, Leg.BACKEND_IN)
    heard = np.concatenate(
        [flows["leg_ifindex"][alive, leg][flows["leg_packets"][alive, leg] > 0] for leg in legs]
    )
    interfaces = np.unique(heard)
    visible = np.zeros(len(rows), dtype=np.bool_)
    for leg in (Leg.CLIENT_OUT, Leg.BACKEND_OUT):
        asked = flows["leg_packets"][rows, leg] > 0
        visible |= asked & np.isin(flows["leg_ifindex"][rows, leg], interfaces)
    return visible


def _conntrack_tells(flows: Flows, rows: Rows, alive: Rows) -> Mask:
    """Conntrack was heard or asked about these; answers to a translated request must pass it."""
    must_pass = has(flows, rows, Seen.TRANSLATED)
    some = bool(has(flows, alive, Seen.REPLIED).any())
    return has(flows, rows, Seen.CONNTRACK) & (must_pass | some)


def silent(scene: Scene, rows: Rows) -> Mask:
    """Requests that were made under our eyes and not answered within ``WAIT_NS``, for sure.

    A repeated SYN proves that the client heard nothing, even where answers are invisible.
    """
    flows = scene.table.flows
    witnessed = ~has(flows, rows, Seen.EXISTING) | has(flows, rows, Seen.SYN)
    waiting = overdue(flows, rows, scene.now_ns) & ~answered(flows, rows) & witnessed
    if not waiting.any():
        return waiting
    return waiting & (has(flows, rows, Seen.RETRANSMITTED) | answers_visible(flows, rows))


def port_unreachable(flows: Flows, rows: Rows) -> Mask:
    """Refused by ICMP port-unreachable."""
    return has(flows, rows, Seen.ICMP_REFUSED) & np.isin(flows["refusal"][rows], _PORT_UNREACHABLE)


def among(addresses: AddressColumn, wanted: frozenset[bytes]) -> Mask:
    """Which rows of an address column hold one of a few addresses."""
    found = np.zeros(len(addresses), dtype=np.bool_)
    for high, low in column(wanted):
        found |= (addresses[:, 0] == high) & (addresses[:, 1] == low)
    return found


def same(left: AddressColumn, right: AddressColumn) -> Mask:
    """Row by row equality of two address columns."""
    return np.asarray((left == right).all(axis=1))
