"""What packets prove: counts, evidence and times of each leg, by column.

Packets of a batch are grouped by (row, leg) once, without sorting; everything else is
done on groups, of which there are far fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Protocol, Records, TcpFlag
from tracer.flow import Leg, Rows, Seen
from tracer.flows.store import FlowStore, Legs

Mask = npt.NDArray[np.bool_]
Flows = npt.NDArray[np.void]

_QUICK_RESET_SEQ = 0
"""A reset that answers a SYN has sequence number 0 and acknowledges it (RFC 9293, 3.5.2)."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Packets by the leg of the flow they are of."""

    which: npt.NDArray[np.int64]
    """Shape (n,): the group of each packet."""
    rows: Rows
    """Shape (k,): the flow of each group."""
    legs: Legs
    """Shape (k,)."""
    first: npt.NDArray[np.intp]
    """Shape (k,): number of each group's first packet."""

    @classmethod
    def of(cls, rows: Rows, legs: Legs, capacity: int) -> Groups:
        """Group n packets in O(n); ``capacity`` is one more than the highest row."""
        slots = rows * 4 + legs
        numbers = np.arange(len(slots), dtype=np.int64)
        mark = np.empty(capacity * 4, dtype=np.int64)
        # Of equal slots the last assignment stands, so that going backwards keeps the first.
        mark[slots[::-1]] = numbers[::-1]
        first = np.flatnonzero(mark[slots] == numbers)
        mark[slots[first]] = np.arange(len(first))
        return cls(mark[slots], rows[first], legs[first], first)

    def __len__(self) -> int:
        return len(self.first)

    def any(self, mask: Mask) -> Mask:
        """Which groups hold a packet that the mask marks."""
        found = np.zeros(len(self), dtype=np.bool_)
        found[self.which[mask]] = True
        return found

    def count(self, mask: Mask) -> npt.NDArray[np.int64]:
        """Marked packets of each group."""
        return np.bincount(self.which[mask], minlength=len(self))

    def first_of(self, mask: Mask) -> npt.NDArray[np.int64]:
        """Number of each group's first marked packet, -1 without one."""
        found = np.full(len(self), -1, dtype=np.int64)
        marked = np.flatnonzero(mask)[::-1]
        found[self.which[marked]] = marked
        return found

    def last(self) -> npt.NDArray[np.int64]:
        """Number of each group's last packet."""
        found = np.empty(len(self), dtype=np.int64)
        found[self.which] = np.arange(len(self.which))
        return found


def is_syn(records: Records) -> Mask:
    """TCP requests: SYN without ACK."""
    flags = records["tcp_flags"] & (TcpFlag.SYN | TcpFlag.ACK)
    return (flags == TcpFlag.SYN) & (records["protocol"] == Protocol.TCP)


def note(store: FlowStore, records: Records, rows: Rows, legs: Legs) -> None:
    """Take packets in time order, each with the row and the leg it is of."""
    groups = Groups.of(rows, legs, len(store.flows))
    syn = is_syn(records)
    _count(store, records, groups, syn)
    _witness(store.flows, records, groups, syn)


def _count(store: FlowStore, records: Records, groups: Groups, syn: Mask) -> None:
    """Packets and bytes, each leg on one interface only: a packet passes several."""
    flows, rows, legs = store.flows, groups.rows, groups.legs
    counted_on = flows["leg_ifindex"][rows, legs]
    new = counted_on == 0
    counted_on[new] = records["ifindex"][groups.first[new]]
    flows["leg_ifindex"][rows[new], legs[new]] = counted_on[new]
    here = counted_on[groups.which] == records["ifindex"]
    packets = groups.count(here)
    flows["leg_packets"][rows, legs] += packets.astype(np.uint32)
    _count_requests(flows, groups, groups.count(syn & here))
    if store.counts_packets:
        lengths = np.bincount(groups.which[here], records["length"][here], len(groups))
        near = legs <= Leg.CLIENT_IN
        flows["packets"][rows[near], legs[near]] += packets[near].astype(np.uint64)
        flows["bytes"][rows[near], legs[near]] += lengths[near].astype(np.uint64)


def _count_requests(flows: Flows, groups: Groups, asked: npt.NDArray[np.int64]) -> None:
    """Every SYN on the client's leg but the first is a retransmission."""
    asking = (groups.legs == Leg.CLIENT_OUT) & (asked > 0)
    rows, asked = groups.rows[asking], asked[asking]
    asked -= (flows["seen"][rows] & np.uint32(Seen.SYN)) == 0
    flows["retransmits"][rows] += asked.astype(np.uint16)
    again = rows[flows["retransmits"][rows] > 0]
    flows["seen"][again] |= np.uint32(Seen.RETRANSMITTED)


def _witness(flows: Flows, records: Records, groups: Groups, syn: Mask) -> None:
    """Turn what the packets of each leg prove into evidence bits and times of its row."""
    rows, legs, flags = groups.rows, groups.legs, records["tcp_flags"]
    tcp = records["protocol"] == Protocol.TCP
    reset = tcp & (flags & TcpFlag.RST != 0)
    quick = reset & (records["seq"] == _QUICK_RESET_SEQ) & (flags & TcpFlag.ACK != 0)
    asks = groups.first_of((syn | ~tcp) & ~reset)
    answers = groups.first_of(~reset & ~syn)
    out, has_reset = (legs & 1) == 0, groups.any(reset)
    bits = np.full(len(groups), np.uint32(Seen.PACKETS), dtype=np.uint32)
    for mask, seen in (
        ((asks >= 0) & (legs == Leg.CLIENT_OUT), Seen.SYN),
        ((asks >= 0) & (legs == Leg.BACKEND_OUT), Seen.SYN_TRANSLATED),
        ((answers >= 0) & (legs == Leg.BACKEND_IN), Seen.ANSWER_BACKEND),
        ((answers >= 0) & (legs == Leg.CLIENT_IN), Seen.ANSWER_CLIENT),
        (has_reset & ~out, Seen.RST_BACKEND),
        (has_reset & out, Seen.RST_CLIENT),
        (groups.any(quick) & ~out, Seen.RST_BEFORE_ANSWER),
        (groups.any(tcp & (flags & TcpFlag.FIN != 0)), Seen.FIN),
        (groups.any(records["flags"] & Flag.LOOPBACK != 0) & out, Seen.LOCAL_IN),
    ):
        bits |= np.where(mask, np.uint32(seen), np.uint32(0))
    np.bitwise_or.at(flows["seen"], rows, bits)
    times = records["time_ns"]
    np.minimum.at(flows["first_ns"], rows, times[groups.first])
    np.maximum.at(flows["last_ns"], rows, times[groups.last()])
    _note_first(flows["request_ns"], rows, times, np.where(out, asks, -1))
    _note_first(flows["answer_ns"], rows, times, np.where(out, -1, answers))
    _note_requests(flows, records, groups, syn)
    _note_resetters(flows, records, groups, reset)
    _note_astray(flows, records, groups, reset)


def _note_first(
    column: npt.NDArray[np.int64], rows: Rows, times: npt.NDArray[np.int64], which: Legs
) -> None:
    """Keep the earliest time in a column where 0 means none; ``which`` -1 is no packet."""
    there = which >= 0
    rows, at = rows[there], times[which[there]]
    unset = rows[column[rows] == 0]
    column[unset] = np.iinfo(np.int64).max
    np.minimum.at(column, rows, at)


def _note_requests(flows: Flows, records: Records, groups: Groups, syn: Mask) -> None:
    asked = np.flatnonzero(syn)
    asked = asked[groups.legs[groups.which[asked]] == Leg.CLIENT_OUT]
    flows["request_seq"][groups.rows[groups.which[asked]]] = records["seq"][asked]


def _note_resetters(flows: Flows, records: Records, groups: Groups, reset: Mask) -> None:
    """Whose address sent the reset; the backend's own word beats the translated copy of it."""
    at = np.flatnonzero(reset)
    at = at[(groups.legs[groups.which[at]] & 1) == 1]
    where, sender = groups.rows[groups.which[at]], records["src"][at]
    own = (sender == flows["backend"][where]).all(axis=1)
    flows["refused_by"][where[~own]] = sender[~own]
    flows["refused_by"][where[own]] = sender[own]


def _note_astray(flows: Flows, records: Records, groups: Groups, reset: Mask) -> None:
    """A client's reset to the backend itself, as it comes in where its requests come in.

    A reset of the client's own connection is seen there on the client's leg, and only
    goes out translated.
    """
    at = np.flatnonzero(reset & (records["flags"] & Flag.OUTGOING == 0))
    at = at[groups.legs[groups.which[at]] == Leg.BACKEND_OUT]
    rows = groups.rows[groups.which[at]]
    known = flows["seen"][rows] & np.uint32(Seen.TRANSLATED) != 0
    entered = flows["leg_ifindex"][rows, Leg.CLIENT_OUT] == records["ifindex"][at]
    np.bitwise_or.at(flows["seen"], rows[known & entered], np.uint32(Seen.RST_ASTRAY))
