"""What rows of the flow table show: masks and numbers that several rules reason with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn, column
from tracer.diagnosis.rule import Scene
from tracer.events import Protocol
from tracer.flow import Flows, Leg, Rows, Seen

Mask = npt.NDArray[np.bool_]
SeenColumn = npt.NDArray[np.uint32]
"""Bits of ``Seen``, a row each."""

WAIT_NS = 3_000_000_000
"""Silence after which a request counts as unanswered: TCP has asked again at 1 s by then."""
NEIGHBOUR_WAIT_NS = 3_300_000_000
"""Silence after which the kernel has spoken if no host answers for the next hop's address.

It asks three times, a second apart (``mcast_solicit`` and ``retrans_time_ms`` in
Documentation/networking/ip-sysctl.rst), and then refuses what waits; the rest is for its word
to get here.
"""

STARTED = Seen.SYN | Seen.SYN_TRANSLATED | Seen.TRANSLATED | Seen.IPVS_NEW | Seen.MAPPED
REFUSED = Seen.RST_BEFORE_ANSWER | Seen.ICMP_REFUSED | Seen.NO_DESTINATION
HURT = Seen.DROPPED | Seen.CT_FAILED | Seen.NO_ROUTE
SPOKE = Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT
_PORT_UNREACHABLE = (3 << 8 | 3, 1 << 8 | 4)
"""ICMPv4 3/3 and ICMPv6 1/4: what REJECT and IPVS send for a Service without endpoints."""


def has(flows: Flows, rows: Rows, bits: Seen) -> Mask:
    """Whether any of these bits was witnessed."""
    return _any(flows["seen"][rows], bits)


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


def _any(seen: SeenColumn, bits: Seen) -> Mask:
    return np.asarray((seen & np.uint32(bits)) != 0)


def answered(flows: Flows, rows: Rows) -> Mask:
    """Whether anything but a refusal came back, by direct or by indirect evidence.

    Conntrack calls a reset a reply too. A TCP client that sends more than its
    SYNs has been answered, wherever the answer passed.
    """
    return _answered(flows, rows, flows["seen"][rows])


def _answered(flows: Flows, rows: Rows, seen: SeenColumn) -> Mask:
    """The same; ``seen`` is theirs: to fetch a column of a large table is most of the work."""
    reset = _any(seen, Seen.RST_BEFORE_ANSWER)
    came_back = _any(seen, SPOKE) | (_any(seen, Seen.REPLIED | Seen.ASSURED) & ~reset)
    doubtful = np.flatnonzero(~came_back & _any(seen, Seen.SYN) & ~_any(seen, Seen.RST_CLIENT))
    came_back[doubtful] = _went_on(flows, rows[doubtful])
    return came_back


def _went_on(flows: Flows, rows: Rows) -> Mask:
    syns = flows["retransmits"][rows].astype(np.int64) + 1
    tcp = flows["protocol"][rows] == Protocol.TCP
    return np.asarray(tcp & (flows["leg_packets"][rows, Leg.CLIENT_OUT] > syns))


def overdue(flows: Flows, rows: Rows, now_ns: int) -> Mask:
    """Whether these asked at least ``WAIT_NS`` ago; answered or not."""
    return _overdue(flows, rows, flows["seen"][rows], now_ns)


def _overdue(flows: Flows, rows: Rows, seen: SeenColumn, now_ns: int) -> Mask:
    return _any(seen, STARTED | HURT | REFUSED) & waited(flows, rows, now_ns, WAIT_NS)


def waited(flows: Flows, rows: Rows, now_ns: int, wait_ns: int) -> Mask:
    """Whether these began to ask at least so long ago."""
    return np.asarray(now_ns - started(flows, rows) >= wait_ns)


def witnessed(flows: Flows, rows: Rows) -> Mask:
    """Whether anything of these was seen to happen, and not only read from a table.

    A flow the kernel told of is marked as read, too, once its entry has been looked up.
    """
    return ~has(flows, rows, Seen.EXISTING) | has(flows, rows, Seen.SYN | Seen.KERNEL)


def unanswered(flows: Flows) -> Rows:
    """All living rows without a direct answer: a cheap first look over the whole table."""
    silent = (flows["seen"] & np.uint32(SPOKE)) == 0
    return np.flatnonzero(silent & flows["alive"])


def suspicious(flows: Flows, rows: Rows, now_ns: int) -> Mask:
    """Rows that some rule could have to say something about."""
    seen = flows["seen"][rows]
    local = _any(seen, Seen.LOCAL_IN)
    spoke = _answered(flows, rows, seen)
    silent = np.flatnonzero(~local & ~spoke)
    asked = seen[silent]
    failing = _any(asked, REFUSED | HURT) | _overdue(flows, rows[silent], asked, now_ns)
    local[silent] = failing
    return local | (spoke & (_stalled(seen) | _broken_off(seen) | _never_begun(seen)))


def broken_off(flows: Flows, rows: Rows) -> Mask:
    """Translated, and reset or stuck: also what was answered may end so."""
    return _broken_off(flows["seen"][rows])


def _broken_off(seen: SeenColumn) -> Mask:
    ended = _any(seen, Seen.RST_BACKEND | Seen.RST_LOCAL | Seen.RST_ASTRAY)
    return (ended & _any(seen, Seen.TRANSLATED)) | _any(seen, Seen.TOO_BIG_AGAIN)


def stalled(flows: Flows, rows: Rows) -> Mask:
    """Balanced by IPVS, and a packet was dropped: also what was answered may end so."""
    return _stalled(flows["seen"][rows])


def _stalled(seen: SeenColumn) -> Mask:
    return _any(seen, Seen.DROPPED) & _any(seen, Seen.IPVS_NEW)


def _never_begun(seen: SeenColumn) -> Mask:
    """Dropped, of a connection that began elsewhere: its answers alone may pass this node."""
    return _any(seen, Seen.DROPPED) & ~_any(seen, STARTED)


def evidence_state(flows: Flows, rows: Rows, now_ns: int) -> npt.NDArray[np.uint64]:
    """A number that changes whenever a row deserves another judgement; never 0.

    Holds the Seen bits and, while unanswered, whether each wait is over and how
    often the client asked (up to 7: a row is judged a handful of times at most).
    """
    seen = flows["seen"][rows]
    state = seen.astype(np.uint64) | np.uint64(1 << 40)
    silent = np.flatnonzero(~_answered(flows, rows, seen))
    asking = rows[silent]
    asked = np.minimum(requests(flows, asking), 7).astype(np.uint64)
    late = _overdue(flows, asking, seen[silent], now_ns).astype(np.uint64)
    later = late & waited(flows, asking, now_ns, NEIGHBOUR_WAIT_NS)
    state[silent] |= asked << np.uint64(32) | late << np.uint64(36) | later << np.uint64(37)
    return state


def answers_visible(scene: Scene, rows: Rows) -> Mask:
    """Whether an answer, had there been one, would have been witnessed.

    On packets: some flow's answer was seen on an interface where this one's request
    was. From the kernel: conntrack was heard or asked about the flow (answers to a
    translated request must pass it), or the mapping ended and the kernel itself
    says that none came.
    """
    flows = scene.table.flows
    heard_on = np.array(sorted(scene.heard_on), dtype=np.uint32)
    visible = has(flows, rows, Seen.ENDED) & has(flows, rows, Seen.MAPPED)
    for leg in (Leg.CLIENT_OUT, Leg.BACKEND_OUT):
        asked = flows["leg_packets"][rows, leg] > 0
        visible |= asked & np.isin(flows["leg_ifindex"][rows, leg], heard_on)
    must_pass = has(flows, rows, Seen.TRANSLATED) | scene.heard_replies
    return visible | (has(flows, rows, Seen.CONNTRACK) & must_pass)


def interfaces_heard(flows: Flows, rows: Rows) -> frozenset[int]:
    """Interfaces on which answers of these rows were seen."""
    heard: set[int] = set()
    for leg in (Leg.CLIENT_IN, Leg.BACKEND_IN):
        seen = flows["leg_packets"][rows, leg] > 0
        heard.update(np.unique(flows["leg_ifindex"][rows[seen], leg]).tolist())
    return frozenset(heard)


def silent(scene: Scene, rows: Rows) -> Mask:
    """Requests that were made under our eyes and not answered within ``WAIT_NS``, for sure.

    A repeated SYN proves that the client heard nothing, even where answers are invisible.
    """
    flows = scene.table.flows
    waiting = overdue(flows, rows, scene.now_ns) & ~answered(flows, rows) & witnessed(flows, rows)
    if not waiting.any():
        return waiting
    return waiting & (has(flows, rows, Seen.RETRANSMITTED) | answers_visible(scene, rows))


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
