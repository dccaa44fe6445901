"""What packets prove: counts, evidence and times of each leg, by column.

Packets of a batch are grouped once, by the tuple they carry, which is one leg of one flow;
everything else is done on groups, of which there are far fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Protocol, Records, TcpFlag
from tracer.flow import Flows, Leg, Rows, Seen
from tracer.flows.store import FlowStore, Legs
from tracer.index import Groups, Keys

Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint8]

_QUICK_RESET_SEQ = 0
"""A reset that answers a SYN has sequence number 0 and acknowledges it (RFC 9293, 3.5.2)."""
_FIN, _SYN, _RESET, _QUICK = (np.uint8(1 << bit) for bit in range(4))
_ASKS, _ANSWERS, _LOOPBACK, TUNNELLED = (np.uint8(1 << bit) for bit in range(4, 8))
"""What a packet is: ``_SYN`` a TCP request, ``_ASKS`` any, ``_ANSWERS`` what may be an answer,
``_QUICK`` a reset that answers the request itself."""

_NOT_ALONE = np.uint32(
    Seen.SYN | Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT | Seen.REPLIED | Seen.ENDED
)
"""Of these the client's own leg was seen, or they were answered, or are over."""


def _marks_of(flags: int) -> int:
    """Marks of a TCP packet with these flags."""
    syn = flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN
    reset = bool(flags & TcpFlag.RST)
    marks = _SYN * syn | _RESET * reset | _FIN * bool(flags & TcpFlag.FIN)
    return int(marks | _ASKS * (syn and not reset) | _ANSWERS * (not syn and not reset))


_OF_TCP = np.array([_marks_of(flags) for flags in range(256)], dtype=np.uint8)
_OF_OTHERS = _ASKS | _ANSWERS


@dataclass(frozen=True, slots=True)
class Sightings:
    """Packets in time order, grouped by the tuple they carry."""

    records: Records
    groups: Groups
    first: npt.NDArray[np.intp]
    """Shape (k,): number of each group's first packet."""
    marks: Marks
    """Shape (n,): what each packet is."""
    syn: npt.NDArray[np.intp]
    """Numbers of the TCP requests."""

    @classmethod
    def of(cls, records: Records, keys: Keys) -> Sightings:
        """Group packets by the keys of their tuples."""
        groups = Groups.of(keys)
        marks = _marks(records)
        return cls(records, groups, groups.first(), marks, _marked(marks, _SYN))

    def marked(self, mark: np.uint8) -> npt.NDArray[np.intp]:
        """Numbers of the packets that are this."""
        return _marked(self.marks, mark)


def _marks(records: Records) -> Marks:
    tcp = records["protocol"] == np.uint8(Protocol.TCP)
    marks = np.where(tcp, _OF_TCP[records["tcp_flags"]], _OF_OTHERS)
    resets = _marked(marks, _RESET)
    quick = (records["seq"][resets] == _QUICK_RESET_SEQ) & (
        records["tcp_flags"][resets] & np.uint8(TcpFlag.ACK) != 0
    )
    marks[resets[quick]] |= _QUICK
    flags = records["flags"]
    for flag, mark in ((Flag.LOOPBACK, _LOOPBACK), (Flag.TUNNELLED, TUNNELLED)):
        marks[flags & np.uint16(flag) != 0] |= mark
    return marks


def _marked(marks: Marks, mark: np.uint8) -> npt.NDArray[np.intp]:
    return np.flatnonzero(marks & mark)


def is_syn(records: Records) -> Mask:
    """TCP requests: SYN without ACK."""
    flags = records["tcp_flags"] & np.uint8(TcpFlag.SYN | TcpFlag.ACK)
    return (flags == np.uint8(TcpFlag.SYN)) & (records["protocol"] == np.uint8(Protocol.TCP))


def note(store: FlowStore, seen: Sightings, rows: Rows, legs: Legs) -> None:
    """Take packets, each group of them with the row and the leg it is of."""
    _count(store, seen, rows, legs)
    _witness(store.flows, seen, rows, legs)


def _count(store: FlowStore, seen: Sightings, rows: Rows, legs: Legs) -> None:
    """Packets and bytes, each leg on one interface only: a packet passes several."""
    flows, groups, ifindexes = store.flows, seen.groups, seen.records["ifindex"]
    counted_on = flows["leg_ifindex"][rows, legs]
    new = counted_on == 0
    counted_on[new] = ifindexes[seen.first[new]]
    flows["leg_ifindex"][rows[new], legs[new]] = counted_on[new]
    here = counted_on[groups.which] == ifindexes
    counted = np.flatnonzero(here)
    packets = groups.count(counted)
    flows["leg_packets"][rows, legs] += packets.astype(np.uint32)
    _count_requests(flows, rows, legs, groups.count(seen.syn[here[seen.syn]]))
    if store.counts_packets:
        which, lengths = groups.which[counted], seen.records["length"][counted]
        total = np.bincount(which, lengths, len(groups))
        near = legs <= Leg.CLIENT_IN
        flows["packets"][rows[near], legs[near]] += packets[near].astype(np.uint64)
        flows["bytes"][rows[near], legs[near]] += total[near].astype(np.uint64)


def _count_requests(flows: Flows, rows: Rows, legs: Legs, asked: npt.NDArray[np.int64]) -> None:
    """Every SYN on the client's leg but the first is a retransmission.

    What the node itself asks passes no interface before it is translated: there, on the
    backend's leg, as long as nothing was heard.
    """
    seen = flows["seen"][rows]
    asking = (legs == Leg.CLIENT_OUT) & (asked > 0)
    behind = (legs == Leg.BACKEND_OUT) & (asked > 0) & (seen & _NOT_ALONE == 0)
    if behind.any():
        behind &= ~np.isin(rows, rows[legs == Leg.CLIENT_OUT])
    first = seen & np.where(behind, np.uint32(Seen.SYN_TRANSLATED), np.uint32(Seen.SYN)) == 0
    asking |= behind
    rows = rows[asking]
    flows["retransmits"][rows] += (asked - first)[asking].astype(np.uint16)
    again = rows[flows["retransmits"][rows] > 0]
    flows["seen"][again] |= np.uint32(Seen.RETRANSMITTED)


def _witness(flows: Flows, seen: Sightings, rows: Rows, legs: Legs) -> None:
    """Turn what the packets of each leg prove into evidence bits and times of its row."""
    marks, out = seen.groups.any(seen.marks), (legs & 1) == 0
    bits = np.full(len(rows), np.uint32(Seen.PACKETS), dtype=np.uint32)
    for mark, where, means in (
        (_ASKS, legs == Leg.CLIENT_OUT, Seen.SYN),
        (_ASKS, legs == Leg.BACKEND_OUT, Seen.SYN_TRANSLATED),
        (_ANSWERS, legs == Leg.BACKEND_IN, Seen.ANSWER_BACKEND),
        (_ANSWERS, legs == Leg.CLIENT_IN, Seen.ANSWER_CLIENT),
        (_RESET, ~out, Seen.RST_BACKEND),
        (_RESET, out, Seen.RST_CLIENT),
        (_QUICK, ~out, Seen.RST_BEFORE_ANSWER),
        (_FIN, np.True_, Seen.FIN),
        (_LOOPBACK, out, Seen.LOCAL_IN),
    ):
        bits |= np.where((marks & mark != 0) & where, np.uint32(means), np.uint32(0))
    np.bitwise_or.at(flows["seen"], rows, bits)
    _note_times(flows, seen, rows, legs)
    _note_requests(flows, seen, rows, legs)
    _note_resetters(flows, seen, rows, legs)
    _note_astray(flows, seen, rows, legs)


def _note_times(flows: Flows, seen: Sightings, rows: Rows, legs: Legs) -> None:
    times, groups, out = seen.records["time_ns"], seen.groups, (legs & 1) == 0
    asks = groups.first_of(seen.marked(_ASKS))
    answers = groups.first_of(seen.marked(_ANSWERS))
    first, last = times[seen.first], times[groups.last()]
    for leg in Leg:
        at = np.flatnonzero(legs == leg)
        mine = rows[at]  # one group each: minimum.at would take ten times as long
        flows["first_ns"][mine] = np.minimum(flows["first_ns"][mine], first[at])
        flows["last_ns"][mine] = np.maximum(flows["last_ns"][mine], last[at])
    _note_first(flows["request_ns"], rows, legs, times, np.where(out, asks, -1))
    _note_first(flows["answer_ns"], rows, legs, times, np.where(out, -1, answers))


def _note_first(
    column: Times, rows: Rows, legs: Legs, times: Times, which: npt.NDArray[np.intp]
) -> None:
    """Keep the earliest time in a column where 0 means none; ``which`` -1 is no packet."""
    for leg in Leg:
        at = np.flatnonzero((legs == leg) & (which >= 0))
        known, found = column[rows[at]], times[which[at]]
        column[rows[at]] = np.where(known == 0, found, np.minimum(known, found))


def _note_requests(flows: Flows, seen: Sightings, rows: Rows, legs: Legs) -> None:
    which = seen.groups.which[seen.syn]
    asked = legs[which] == Leg.CLIENT_OUT
    flows["request_seq"][rows[which[asked]]] = seen.records["seq"][seen.syn[asked]]


def _note_resetters(flows: Flows, seen: Sightings, rows: Rows, legs: Legs) -> None:
    """Whose address sent the reset; the backend's own word beats the translated copy of it.

    The copy may come in a later batch.
    """
    at = seen.marked(_RESET)
    at = at[(legs[seen.groups.which[at]] & 1) == 1]
    where, sender = rows[seen.groups.which[at]], seen.records["src"][at]
    backend = flows["backend"][where]
    own = (sender == backend).all(axis=1)
    copied = ~own & (flows["refused_by"][where] != backend).any(axis=1)
    flows["refused_by"][where[copied]] = sender[copied]
    flows["refused_by"][where[own]] = sender[own]


def _note_astray(flows: Flows, seen: Sightings, rows: Rows, legs: Legs) -> None:
    """A client's reset to the backend itself, as it comes in where its requests come in.

    A reset of the client's own connection is seen there on the client's leg, and only
    goes out translated.
    """
    records, which = seen.records, seen.groups.which
    at = seen.marked(_RESET)
    at = at[records["flags"][at] & np.uint16(Flag.OUTGOING) == 0]
    at = at[legs[which[at]] == Leg.BACKEND_OUT]
    rows = rows[which[at]]
    known = flows["seen"][rows] & np.uint32(Seen.TRANSLATED) != 0
    entered = flows["leg_ifindex"][rows, Leg.CLIENT_OUT] == records["ifindex"][at]
    np.bitwise_or.at(flows["seen"], rows[known & entered], np.uint32(Seen.RST_ASTRAY))
