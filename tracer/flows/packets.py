"""What was seen on interfaces: requests, answers, resets and retransmissions per leg."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Protocol, Records, TcpFlag, picked
from tracer.flow import Leg, Rows, Seen
from tracer.flows.lives import lives
from tracer.flows.mappings import before
from tracer.flows.rows import Scopes, create
from tracer.flows.store import FlowStore, Legs
from tracer.tuples import Sides, mirrored, sides

Mask = npt.NDArray[np.bool_]

_UNREACHABLE_V4, _EXCEEDED_V4, _NEEDS_FRAGMENTATION = 3, 11, 4
_UNREACHABLE_V6, _EXCEEDED_V6 = 1, 3
_QUICK_RESET_SEQ = 0
"""A reset that answers a SYN has sequence number 0 and acknowledges it (RFC 9293, 3.5.2)."""


def apply(store: FlowStore, records: Records, scopes: Scopes) -> Rows:
    """Take packet records in time order; the rows they touched, with repeats."""
    quoting = (records["flags"] & Flag.QUOTED) != 0
    errors = picked(records, quoting), scopes[quoting]
    usable = ~quoting & ((records["flags"] & Flag.FRAGMENT) == 0) & _carries_flows(records)
    records, scopes = picked(records, usable), scopes[usable]
    tuples = before(records, scopes)
    keys = store.client_keys(tuples)
    begins = _begins(store, records, scopes, keys)
    if begins.any():  # what is answered after a new beginning is part of it
        keys = np.minimum(keys, store.client_keys(mirrored(tuples)))
    touched = [_apply_life(store, picked(records, i), scopes[i]) for i in lives(keys, begins)]
    return np.concatenate([*touched, _refusals(store, *errors)])


def _carries_flows(records: Records) -> Mask:
    """ICMP errors and neighbour discovery are no flows; echo is (it has an identifier)."""
    icmp = np.isin(records["protocol"], (Protocol.ICMP, Protocol.ICMPV6))
    return ~icmp | (records["src_port"] != 0)


def _syn(records: Records) -> Mask:
    flags = records["tcp_flags"]
    return (records["protocol"] == Protocol.TCP) & (
        flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN
    )


def _begins(
    store: FlowStore, records: Records, scopes: Scopes, keys: npt.NDArray[np.uint64]
) -> Mask:
    """SYNs with another sequence number than the one before on the same ports."""
    syn = _syn(records)
    begins = np.zeros(len(records), dtype=np.bool_)
    at = np.flatnonzero(syn)
    if not at.size:
        return begins
    rows, legs = store.find(before(picked(records, at), scopes[at]))
    asked = _asked(store, rows, legs)
    previous = np.where(asked, store.flows["request_seq"][rows].astype(np.int64), -1)
    order = np.argsort(keys[at], kind="stable")
    sequence = records["seq"][at][order].astype(np.int64)
    same_key = np.r_[False, keys[at][order][1:] == keys[at][order][:-1]]
    last = np.where(same_key, np.r_[-1, sequence[:-1]], previous[order])
    begins[at[order]] = (last >= 0) & (last != sequence)
    return begins


def _apply_life(store: FlowStore, records: Records, scopes: Scopes) -> Rows:
    if not len(records):
        return np.zeros(0, dtype=np.intp)
    tuples = before(records, scopes)
    rows, legs = store.find(tuples)
    anew = _starts_over(store, records, rows, legs)
    missing = anew | (rows < 0)
    if missing.any():
        _create_missing(store, picked(records, missing), scopes[missing])
        late = np.ones_like(missing) if anew.any() else missing
        rows[late], legs[late] = _found_again(store, tuples, late)
    _count(store, records, rows, legs)
    _witness(store, records, rows, legs)
    return rows


def _found_again(store: FlowStore, tuples: Sides, missing: Mask) -> tuple[Rows, Legs]:
    return store.find(Sides(tuples.src[missing], tuples.dst[missing], tuples.rest[missing]))


def _starts_over(store: FlowStore, records: Records, rows: Rows, legs: Legs) -> Mask:
    """A SYN with a new sequence number on a row that already had its own."""
    other = store.flows["request_seq"][rows] != records["seq"]
    return _asked(store, rows, legs) & _syn(records) & other


def _asked(store: FlowStore, rows: Rows, legs: Legs) -> Mask:
    """Whose request is known on this leg; where no kernel tells, also behind translation."""
    seen = store.flows["seen"][rows]
    asked = (legs == Leg.CLIENT_OUT) & (seen & np.uint32(Seen.SYN) != 0)
    behind = (legs == Leg.BACKEND_OUT) & (seen & np.uint32(Seen.PAIRED) != 0)
    behind &= seen & np.uint32(Seen.SYN | Seen.SYN_TRANSLATED) != 0
    return (rows >= 0) & (asked | behind)


def _create_missing(store: FlowStore, records: Records, scopes: Scopes) -> None:
    """Rows for unknown tuples, oriented by who asked.

    A SYN-ACK, a reset or traffic from the lower port is taken for the answer.
    """
    tuples = before(records, scopes)
    flags = records["tcp_flags"]
    tcp = records["protocol"] == Protocol.TCP
    answer = tcp & (flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN | TcpFlag.ACK)
    vague = ~_syn(records) & ~answer
    answer |= vague & (records["src_port"] < records["dst_port"]) & (tcp | _well_known(records))
    back = mirrored(tuples)
    oriented = Sides(
        np.where(answer[:, None], back.src, tuples.src),
        np.where(answer[:, None], back.dst, tuples.dst),
        np.where(answer, back.rest, tuples.rest),
    )
    keys = store.client_keys(oriented)
    certain_first = np.argsort(vague, kind="stable")
    forward, backward = keys[certain_first], store.client_keys(mirrored(oriented))[certain_first]
    low = np.minimum(forward, backward)
    _, first = np.unique(low, return_index=True)
    at = certain_first[first]
    create(
        store,
        Sides(oriented.src[at], oriented.dst[at], oriented.rest[at]),
        keys[at],
        records["time_ns"][at],
        scopes[at],
    )


def _well_known(records: Records) -> Mask:
    return np.asarray(records["src_port"] < 1024)


def _count(store: FlowStore, records: Records, rows: Rows, legs: Legs) -> None:
    """Packets and bytes, each leg on one interface only: a packet passes several."""
    flows = store.flows
    slot = rows * 4 + legs
    unique, first = np.unique(slot, return_index=True)
    chosen = flows["leg_ifindex"][unique >> 2, unique & 3]
    new = chosen == 0
    flows["leg_ifindex"][unique[new] >> 2, unique[new] & 3] = records["ifindex"][first[new]]
    here = flows["leg_ifindex"][rows, legs] == records["ifindex"]
    np.add.at(flows["leg_packets"], (rows[here], legs[here]), 1)
    syn = _syn(records) & here & (legs == Leg.CLIENT_OUT)
    np.add.at(flows["retransmits"], rows[syn], 1)
    repeated = (flows["seen"][rows[syn]] & np.uint32(Seen.SYN)) == 0
    first_asked = np.unique(rows[syn][repeated])
    flows["retransmits"][first_asked] -= 1
    client_side = here & (legs <= Leg.CLIENT_IN) & store.counts_packets
    np.add.at(flows["packets"], (rows[client_side], legs[client_side]), 1)
    np.add.at(
        flows["bytes"], (rows[client_side], legs[client_side]), records["length"][client_side]
    )


def _witness(store: FlowStore, records: Records, rows: Rows, legs: Legs) -> None:
    """Turn what each packet proves into evidence bits and times of its row."""
    flows = store.flows
    flags = records["tcp_flags"]
    tcp = records["protocol"] == Protocol.TCP
    reset = tcp & (flags & TcpFlag.RST != 0)
    syn = _syn(records)
    forward = (legs & 1) == 0
    asks = np.where(tcp, syn, True) & forward & ~reset
    answers = ~forward & ~reset & ~syn
    bits = np.full(len(rows), np.uint32(Seen.PACKETS), dtype=np.uint32)
    quick = reset & (records["seq"] == _QUICK_RESET_SEQ) & (flags & TcpFlag.ACK != 0)
    for mask, seen in (
        (asks & (legs == Leg.CLIENT_OUT), Seen.SYN),
        (asks & (legs == Leg.BACKEND_OUT), Seen.SYN_TRANSLATED),
        (answers & (legs == Leg.BACKEND_IN), Seen.ANSWER_BACKEND),
        (answers & (legs == Leg.CLIENT_IN), Seen.ANSWER_CLIENT),
        (reset & ~forward, Seen.RST_BACKEND),
        (reset & forward, Seen.RST_CLIENT),
        (quick & ~forward, Seen.RST_BEFORE_ANSWER),
        (tcp & (flags & TcpFlag.FIN != 0), Seen.FIN),
        ((records["flags"] & Flag.LOOPBACK != 0) & forward, Seen.LOCAL_IN),
    ):
        bits |= np.where(mask, np.uint32(seen), np.uint32(0))
    np.bitwise_or.at(flows["seen"], rows, bits)
    repeated = flows["retransmits"][rows] > 0
    np.bitwise_or.at(flows["seen"], rows[repeated], np.uint32(Seen.RETRANSMITTED))
    np.minimum.at(flows["first_ns"], rows, records["time_ns"])
    np.maximum.at(flows["last_ns"], rows, records["time_ns"])
    _note_resetter(flows, records, rows, reset & ~forward)
    _note_first(flows, "request_ns", rows[asks], records["time_ns"][asks])
    _note_first(flows, "answer_ns", rows[answers], records["time_ns"][answers])
    asked = syn & (legs == Leg.CLIENT_OUT)
    flows["request_seq"][rows[asked]] = records["seq"][asked]


def _note_resetter(flows: npt.NDArray[np.void], records: Records, rows: Rows, resets: Mask) -> None:
    """Whose address sent the reset; the backend's own word beats the translated copy of it."""
    where, sender = rows[resets], records["src"][resets]
    own = (sender == flows["backend"][where]).all(axis=1)
    flows["refused_by"][where[~own]] = sender[~own]
    flows["refused_by"][where[own]] = sender[own]


def _note_first(
    flows: npt.NDArray[np.void], name: str, rows: Rows, times: npt.NDArray[np.int64]
) -> None:
    """Keep the earliest time in a column where 0 means none."""
    if not rows.size:
        return
    order = np.lexsort((times, rows))
    unique, first = np.unique(rows[order], return_index=True)
    earliest = times[order][first]
    known = flows[name][unique]
    flows[name][unique] = np.where(known == 0, earliest, np.minimum(known, earliest))


def _refusals(store: FlowStore, records: Records, scopes: Scopes) -> Rows:
    """ICMP errors, joined to the flow whose packet they quote."""
    kind, code = records["detail"] >> np.uint64(8), records["detail"] & np.uint64(0xFF)
    v4 = records["protocol"] == Protocol.ICMP
    refuses = np.where(
        v4,
        ((kind == _UNREACHABLE_V4) & (code != _NEEDS_FRAGMENTATION)) | (kind == _EXCEEDED_V4),
        (kind == _UNREACHABLE_V6) | (kind == _EXCEEDED_V6),
    )
    records, scopes = picked(records, refuses), scopes[refuses]
    rows, legs = store.find(quoted(records, scopes))
    known = (rows >= 0) & ((legs & 1) == 0)
    rows, records = rows[known], picked(records, known)
    flows = store.flows
    np.bitwise_or.at(flows["seen"], rows, np.uint32(Seen.ICMP_REFUSED))
    np.maximum.at(flows["last_ns"], rows, records["time_ns"])
    flows["refusal"][rows] = records["detail"]
    flows["refused_by"][rows] = records["src"]
    return rows


def quoted(records: Records, scopes: Scopes) -> Sides:
    """The packets ICMP errors quote: tuple in the nat fields, protocol in ``reason``."""
    return sides(
        records["nat_src"],
        records["nat_src_port"].astype(np.uint16),
        records["nat_dst"],
        records["nat_dst_port"].astype(np.uint16),
        records["reason"].astype(np.uint8),
        scopes,
    )
