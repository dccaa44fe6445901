"""What was seen on interfaces: requests, answers, resets and retransmissions per leg."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Protocol, Records, TcpFlag, picked
from tracer.flow import Leg, Rows, Seen
from tracer.flows import pairs
from tracer.flows.former import predecessors
from tracer.flows.lives import lives
from tracer.flows.mappings import before
from tracer.flows.rows import Scopes, create
from tracer.flows.sightings import TUNNELLED, Sightings, is_syn, note
from tracer.flows.sizes import note_too_big, too_big
from tracer.flows.store import FlowStore, Legs
from tracer.index import CHUNK, Groups, Keys, ascending, together
from tracer.tuples import Sides, mirrored, sides

Mask = npt.NDArray[np.bool_]

_ICMP = np.zeros(256, dtype=np.bool_)
_ICMP[[Protocol.ICMP, Protocol.ICMPV6]] = True
_REQUESTED = Seen.SYN | Seen.SYN_TRANSLATED
_CLOSED = Seen.ENDED | Seen.FIN | Seen.RST_CLIENT | Seen.RST_BACKEND
_TAKEN_WITHIN_NS = 20_000_000
"""From a packet's arrival on an interface to the kernel's word of what becomes of it."""
_UNREACHABLE_V4, _EXCEEDED_V4, _NEEDS_FRAGMENTATION = 3, 11, 4
_UNREACHABLE_V6, _EXCEEDED_V6 = 1, 3


def apply(store: FlowStore, records: Records, scopes: Scopes) -> Rows:
    """Take packet records in time order; the rows they touched, with repeats."""
    usable, errors = _parted(records, scopes)
    grouped = _grouped(store, *usable)
    return np.concatenate([*_applied(store, grouped), _refusals(store, *errors)])


def apply_told(
    store: FlowStore, records: Records, scopes: Scopes, told: Records, of_told: Scopes
) -> Rows:
    """The same, with PAIRED records that these packets and earlier ones tell.

    Most are of connections that begin in the batch. Their rows are made complete at once:
    packets would make a provisional row of each leg, to be merged then.
    """
    usable, errors = _parted(records, scopes)
    grouped = _grouped(store, *usable)
    due = pairs.alone(store, told, of_told, grouped.keys[grouped.begins])
    touched = [pairs.apply(store, picked(told, due), of_told[due])]
    told, of_told = picked(told, ~due), of_told[~due]
    for life in _applied(store, grouped):
        touched.append(life)
        if grouped.begins.any():  # before the next connection on the same ports
            due = pairs.fitting(store, told, of_told)
            touched.append(pairs.apply(store, picked(told, due), of_told[due]))
            told, of_told = picked(told, ~due), of_told[~due]
    touched += (pairs.apply(store, told, of_told), _refusals(store, *errors))
    return np.concatenate(touched)


@dataclass(frozen=True, slots=True)
class _Grouped:
    """Packets of flows, grouped by the tuples they carry."""

    seen: Sightings
    scopes: Scopes
    keys: Keys
    begins: Mask
    """SYNs with which another connection begins on the same ports."""


def _parted(
    records: Records, scopes: Scopes
) -> tuple[tuple[Records, Scopes], tuple[Records, Scopes]]:
    """Packets of flows, and ICMP errors that quote one."""
    flags = records["flags"]
    quoting = np.flatnonzero(flags & np.uint16(Flag.QUOTED))
    errors = picked(records, quoting), scopes[quoting]
    usable = (flags & np.uint16(Flag.QUOTED | Flag.FRAGMENT) == 0) & _carries_flows(records)
    if not usable.all():
        records, scopes = picked(records, usable), scopes[usable]
    return (records, scopes), errors


def _grouped(store: FlowStore, records: Records, scopes: Scopes) -> _Grouped:
    keys = _keys(store, records, scopes)
    seen = Sightings.of(records, keys)
    return _Grouped(seen, scopes, keys, _begins(store, seen, keys))


def _applied(store: FlowStore, grouped: _Grouped) -> Iterator[Rows]:
    """One look at the table for each life: what is answered after a beginning is part of it."""
    seen, scopes, keys = grouped.seen, grouped.scopes, grouped.keys
    if not grouped.begins.any():
        yield _apply_life(store, seen, scopes, keys)
        return
    records = seen.records
    both = np.minimum(keys, store.client_keys(mirrored(before(records, scopes))))
    for life in lives(both, grouped.begins):
        part = Sightings.of(picked(records, life), keys[life])
        yield _apply_life(store, part, scopes[life], keys[life])


def _keys(store: FlowStore, records: Records, scopes: Scopes) -> Keys:
    keys = np.empty(len(records), dtype=np.uint64)
    for at in range(0, len(records), CHUNK):
        part = slice(at, at + CHUNK)
        keys[part] = store.client_keys(before(records[part], scopes[part]))
    return keys


def _carries_flows(records: Records) -> Mask:
    """ICMP errors and neighbour discovery are no flows; echo is (it has an identifier)."""
    carries = ~_ICMP[records["protocol"]]
    carries |= records["src_port"] != 0
    return carries


def _begins(store: FlowStore, seen: Sightings, keys: Keys) -> Mask:
    """SYNs with another sequence number than the one before on the same ports."""
    begins = np.zeros(len(keys), dtype=np.bool_)
    at = seen.syn
    if not at.size:
        return begins
    rows, legs = store.find_keys(keys[at])
    asked = _asked(store, rows, legs)
    former = predecessors(store.flows, rows)
    known = ~asked & (rows >= 0) & (legs & 1 == 0) & (former >= 0)
    known &= store.flows["seen"][former] & np.uint32(Seen.SYN) != 0
    of = np.where(known, former, rows)
    previous = np.where(asked | known, store.flows["request_seq"][of].astype(np.int64), -1)
    order = together(keys[at])
    sequence = seen.records["seq"][at][order].astype(np.int64)
    same_key = np.r_[False, keys[at][order][1:] == keys[at][order][:-1]]
    last = np.where(same_key, np.r_[-1, sequence[:-1]], previous[order])
    begins[at[order]] = (last >= 0) & (last != sequence)
    return begins


def _apply_life(store: FlowStore, seen: Sightings, scopes: Scopes, keys: Keys) -> Rows:
    """One group of packets, one look at the table: rows are found, or made, for groups."""
    if not len(keys):
        return np.zeros(0, dtype=np.intp)
    records, keys = seen.records, keys[seen.first]
    rows, legs = _found(store, seen, keys)
    anew = _starts_over(store, seen, rows, legs)
    if anew.size:
        _create_missing(store, picked(records, anew), scopes[anew])
        rows, legs = _found(store, seen, keys)
    # Who asked is certain of a few packets: made from them, most rows are found by the rest.
    for told in (seen.groups.first_of(_tells_direction(records)), seen.first):
        missing = np.flatnonzero((rows < 0) & (told >= 0))
        if missing.size:
            at = np.sort(told[missing])
            _create_missing(store, picked(records, at), scopes[at])
            unknown = np.flatnonzero(rows < 0)
            rows[unknown], legs[unknown] = store.find_keys(keys[unknown])
    note(store, seen, rows, legs)
    inside = seen.marked(TUNNELLED)
    if inside.size:
        store.tunnels.note(store.flows, records, inside, rows[seen.groups.which[inside]])
    return ascending(rows)


def _found(store: FlowStore, seen: Sightings, keys: Keys) -> tuple[Rows, Legs]:
    """Rows and legs of groups; the former connection's where the kernel told of the next one first.

    A SYN that is not the former's own is the next one's, however late the kernel took it.
    """
    rows, legs = store.find_keys(keys)
    flows, records = store.flows, seen.records
    at = np.flatnonzero((rows >= 0) & (flows["former"][rows] != 0))
    begun_ns = flows["first_ns"][rows[at]]
    at = at[records["time_ns"][seen.first[at]] + _TAKEN_WITHIN_NS < begun_ns]
    if not at.size:
        return rows, legs
    former, asks = predecessors(flows, rows[at]), seen.first[at]
    own = records["seq"][asks] == flows["request_seq"][former]
    unasked = flows["seen"][former] & np.uint32(Seen.SYN) == 0
    mine = (former >= 0) & (own | unasked | ~is_syn(picked(records, asks)))
    rows[at[mine]] = former[mine]
    return rows, legs


def _tells_direction(records: Records) -> Rows:
    syn = records["tcp_flags"] & np.uint8(TcpFlag.SYN) != 0
    return np.flatnonzero(syn & (records["protocol"] == np.uint8(Protocol.TCP)))


def _starts_over(store: FlowStore, seen: Sightings, rows: Rows, legs: Legs) -> Rows:
    """Packets that begin another flow on ports whose row is a former one's.

    SYNs with a new sequence number where the row already had its own; datagrams sent after
    the kernel told of the end.
    """
    flows, first = store.flows, seen.first
    which = seen.groups.which[seen.syn]
    other = flows["request_seq"][rows[which]] != seen.records["seq"][seen.syn]
    syn = seen.syn[_asked(store, rows[which], legs[which]) & other]
    over = (rows >= 0) & (legs == Leg.CLIENT_OUT) & (flows["ended_ns"][rows] != 0)
    if not over.any():
        return syn
    over &= flows["ended_ns"][rows] < seen.records["time_ns"][first]
    over &= seen.records["protocol"][first] != np.uint8(Protocol.TCP)
    return np.sort(np.concatenate([syn, first[over]]))


def _asked(store: FlowStore, rows: Rows, legs: Legs) -> Mask:
    """Whose request is known on this leg; behind translation where no kernel tells, or once closed.

    A request to the backend of a closed connection may be seen before the kernel tells of it.
    """
    seen = store.flows["seen"][rows]
    asked = seen & np.uint32(Seen.SYN) != 0
    paired = (seen & np.uint32(Seen.PAIRED) != 0) & (seen & np.uint32(_REQUESTED) != 0)
    behind = paired | (asked & (seen & np.uint32(_CLOSED) != 0))
    known = ((legs == Leg.CLIENT_OUT) & asked) | ((legs == Leg.BACKEND_OUT) & behind)
    return np.asarray((rows >= 0) & known)


def _create_missing(store: FlowStore, records: Records, scopes: Scopes) -> None:
    """Rows for unknown tuples, oriented by who asked.

    A SYN-ACK, a reset or traffic from the lower port is taken for the answer.
    """
    tuples = before(records, scopes)
    flags = records["tcp_flags"]
    tcp = records["protocol"] == Protocol.TCP
    answer = tcp & (flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN | TcpFlag.ACK)
    vague = ~is_syn(records) & ~answer
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
    at = certain_first[Groups.of(low).first()]
    create(
        store,
        Sides(oriented.src[at], oriented.dst[at], oriented.rest[at]),
        keys[at],
        records["time_ns"][at],
        scopes[at],
    )


def _well_known(records: Records) -> Mask:
    return np.asarray(records["src_port"] < 1024)


def _refusals(store: FlowStore, records: Records, scopes: Scopes) -> Rows:
    """ICMP errors, joined to the flow whose packet they quote."""
    kind, code = records["detail"] >> np.uint64(8), records["detail"] & np.uint64(0xFF)
    v4 = records["protocol"] == Protocol.ICMP
    refuses = np.where(
        v4,
        ((kind == _UNREACHABLE_V4) & (code != _NEEDS_FRAGMENTATION)) | (kind == _EXCEEDED_V4),
        (kind == _UNREACHABLE_V6) | (kind == _EXCEEDED_V6),
    )
    narrow = too_big(records)
    rows, records = _quoted_requests(store, records, scopes, refuses | narrow)
    flows = store.flows
    narrow = too_big(records)
    note_too_big(flows, rows[narrow], records["time_ns"][narrow])
    touched = rows
    rows, records = rows[~narrow], picked(records, ~narrow)
    np.bitwise_or.at(flows["seen"], rows, np.uint32(Seen.ICMP_REFUSED))
    np.maximum.at(flows["last_ns"], rows, records["time_ns"])
    flows["refusal"][rows] = records["detail"]
    # Behind translation the same error comes in the name of the address that was asked.
    copied = (records["src"] == flows["virtual"][rows]).all(axis=1)
    first = ~(flows["refused_by"][rows] != 0).any(axis=1)
    for told in (copied & first, ~copied):
        flows["refused_by"][rows[told]] = records["src"][told]
    return touched


def _quoted_requests(
    store: FlowStore, records: Records, scopes: Scopes, wanted: Mask
) -> tuple[Rows, Records]:
    """The flows that these errors are about, by the client's packets in them."""
    records, scopes = picked(records, wanted), scopes[wanted]
    rows, legs = store.find(quoted(records, scopes))
    either = (legs & 1) == 0
    known = (rows >= 0) & (either | too_big(records))
    return rows[known], picked(records, known)


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
