"""Refusals and drops the kernel tells of, joined to the flows they hit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Hook, Protocol, Records, TcpFlag, picked, stacked
from tracer.flow import Flows, Leg, Rows, Seen
from tracer.flows.former import after
from tracer.flows.mappings import before
from tracer.flows.rows import Scopes, create
from tracer.flows.sizes import note_too_big, too_big
from tracer.flows.store import MAPPED, FlowStore, Legs
from tracer.tuples import Sides

EARLY_NS = 1_000_000_000
"""So long a drop waits for the packet that it hit: batches of two sources are not in step."""
MOST_EARLY = 1024
OLDER_NS = 100_000_000
"""A tuple that was taken for so long was known to be when another flow chose it."""
Mask = npt.NDArray[np.bool_]

_BITS = {
    Hook.IPVS_NO_DEST: Seen.NO_DESTINATION,
    Hook.IPVS_FAILED: Seen.CT_FAILED | Seen.IPVS_FAILED,
    Hook.IPVS_NO_ROUTE: Seen.NO_ROUTE,
    Hook.IPVS_SENT: Seen.SYN_TRANSLATED,
    Hook.IPVS_REPLY: Seen.ANSWER_CLIENT,
    Hook.CT_FAILED: Seen.CT_FAILED,
    Hook.CT_FULL: Seen.CT_FAILED | Seen.CT_FULL,
    Hook.ICMP_SENT: Seen.ICMP_REFUSED,
    Hook.RST_SENT: Seen.RST_LOCAL,
    Hook.DROP: Seen.DROPPED,
    Hook.LOCAL_IN: Seen.LOCAL_IN,
}
HOOKS = tuple(_BITS)
_REQUEST_ONLY = (Hook.DROP, Hook.RST_SENT, Hook.ICMP_SENT, Hook.LOCAL_IN)
_NEVER_CREATE = (Hook.IPVS_SENT, Hook.IPVS_REPLY)
_NOT_A_REFUSAL = (5 << 8, 5 << 8 | 1, 5 << 8 | 2, 5 << 8 | 3)
"""ICMPv4 redirects."""
_NOT_A_REFUSAL_V6 = (137 << 8,)


def apply(store: FlowStore, records: Records, scopes: Scopes) -> Rows:
    """Take evidence records; the rows they touched, with repeats.

    Refusals and drops also happen inside pods' namespaces, to the translated
    tuple: what is not known in a foreign namespace is looked up in our own.
    """
    records, scopes = _keep(records, scopes)
    tuples = before(records, scopes)
    rows, legs = store.find(tuples)
    home = before(records, np.zeros_like(scopes))
    foreign = (rows < 0) & (scopes != 0)
    if foreign.any():
        rows[foreign], legs[foreign] = store.find(_pick(home, foreign))
    missing = (rows < 0) & _asks(records)
    if missing.any():
        created = _pick(home, missing)
        keys = store.client_keys(created)
        rows[missing] = create(
            store, created, keys, records["time_ns"][missing], np.zeros_like(scopes[missing])
        )
        legs[missing] = Leg.CLIENT_OUT
    known = rows >= 0
    narrow = known & (records["hook"] == Hook.ICMP_SENT) & too_big(records)
    note_too_big(store.flows, rows[narrow], records["time_ns"][narrow])
    plain = known & ~narrow
    _witness(store, picked(records, plain), rows[plain], legs[plain])
    _note_clashes(store, records, rows, scopes)
    _keep_early(store, records, known, scopes)
    return rows[known]


def again(store: FlowStore, now_ns: int) -> Rows:
    """The rows of drops that probes told of before a packet made the row: now it may be there."""
    records, scopes = store.early
    store.forget_early()
    recent = records["time_ns"] > now_ns - EARLY_NS
    rows, legs = store.find(before(picked(records, recent), scopes[recent]))
    known = rows >= 0
    _witness(store, picked(picked(records, recent), known), rows[known], legs[known])
    found: Rows = rows[known]
    return found


def _keep_early(store: FlowStore, records: Records, known: Mask, scopes: Scopes) -> None:
    """Drops of answers make no row of their own: their packets do, if they are seen."""
    early = ~known & (records["hook"] == Hook.DROP)
    if early.any():
        kept, where = store.early
        kept, where = stacked([kept, picked(records, early)]), np.append(where, scopes[early])
        last = np.arange(len(where))[-MOST_EARLY:]
        store.early = picked(kept, last), where[last]


def _note_clashes(store: FlowStore, records: Records, rows: Rows, scopes: Scopes) -> None:
    """Which older flow has the very tuple that a mapping could not be inserted with.

    The kernel chooses such a one only when it finds no other.
    """
    failed = np.flatnonzero((records["hook"] == Hook.CT_FAILED) & (rows >= 0))
    if not failed.size:
        return
    flows = store.flows
    holders, _ = store.find(after(picked(records, failed), scopes[failed]))
    older = flows["first_ns"][holders] < records["time_ns"][failed] - OLDER_NS
    mapped = flows["seen"][holders] & MAPPED != 0
    held = (holders >= 0) & (holders != rows[failed]) & older & mapped
    flows["taken_by"][rows[failed[held]]] = flows["id"][holders[held]]


def _pick(tuples: Sides, mask: Mask) -> Sides:
    return Sides(tuples.src[mask], tuples.dst[mask], tuples.rest[mask])


def _keep(records: Records, scopes: Scopes) -> tuple[Records, Scopes]:
    """Leave out ICMP messages that refuse nothing, and drops of ICMP errors themselves.

    Of those conntrack tells the connection that they are about: no TCP packet of it is
    without a flag.
    """
    v4 = records["family"] == 2
    icmp = records["hook"] == Hook.ICMP_SENT
    harmless = np.where(
        v4,
        np.isin(records["detail"], _NOT_A_REFUSAL),
        np.isin(records["detail"], _NOT_A_REFUSAL_V6),
    )
    tcp = (records["protocol"] == Protocol.TCP) & (records["flags"] & np.uint16(Flag.AFTER) != 0)
    error = (records["hook"] == Hook.DROP) & tcp & (records["tcp_flags"] == 0)
    keep = ~(icmp & harmless) & ~error
    return picked(records, keep), scopes[keep]


def _asks(records: Records) -> Mask:
    """Whether a record about an unknown flow is about a request, so that a row is due."""
    flags = records["tcp_flags"]
    tcp = records["protocol"] == Protocol.TCP
    syn = flags & (TcpFlag.SYN | TcpFlag.ACK | TcpFlag.RST) == TcpFlag.SYN
    request = ~tcp | syn | ~np.isin(records["hook"], _REQUEST_ONLY)
    request &= (records["hook"] != Hook.ICMP_SENT) | ~too_big(records)
    echo_or_port = records["dst_port"] != 0
    return request & echo_or_port & ~np.isin(records["hook"], _NEVER_CREATE)


def _witness(store: FlowStore, records: Records, rows: Rows, legs: Legs) -> None:
    flows = store.flows
    hooks = records["hook"]
    bits = np.full(len(rows), np.uint32(Seen.KERNEL), dtype=np.uint32)
    for hook, seen in _BITS.items():
        bits |= np.where(hooks == hook, np.uint32(seen), np.uint32(0))
    forward = (legs & 1) == 0
    _answers_refused(bits, hooks, legs)
    syn = records["tcp_flags"] & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN
    quick = (hooks == Hook.RST_SENT) & syn & forward
    bits |= np.where(quick, np.uint32(Seen.RST_BEFORE_ANSWER), np.uint32(0))
    np.bitwise_or.at(flows["seen"], rows, bits)
    np.minimum.at(flows["first_ns"], rows, records["time_ns"])
    np.maximum.at(flows["last_ns"], rows, records["time_ns"])
    _note_refusals(flows, records, rows, forward)
    _note_drops(flows, records, rows)
    existing = records["flags"] & Flag.EXISTING != 0
    np.bitwise_or.at(flows["seen"], rows[existing], np.uint32(Seen.EXISTING))


def _answers_refused(
    bits: npt.NDArray[np.uint32], hooks: npt.NDArray[np.uint16], legs: Legs
) -> None:
    """A client that has gone refuses the answer: the request was not, and the answer came."""
    answers = (hooks == Hook.ICMP_SENT) & ((legs & 1) == 1)
    bits[answers] &= ~np.uint32(Seen.ICMP_REFUSED)
    bits[answers & (legs == Leg.CLIENT_IN)] |= np.uint32(Seen.ANSWER_CLIENT)


def _note_refusals(flows: Flows, records: Records, rows: Rows, forward: Mask) -> None:
    """Who refused and how: the address that answers is the refused packet's destination."""
    icmp = (records["hook"] == Hook.ICMP_SENT) & forward
    flows["refusal"][rows[icmp]] = records["detail"][icmp]
    refused = forward & np.isin(records["hook"], (Hook.ICMP_SENT, Hook.RST_SENT))
    unknown = (flows["refused_by"][rows] == 0).all(axis=1) & refused
    flows["refused_by"][rows[unknown]] = records["dst"][unknown]


def _note_drops(flows: Flows, records: Records, rows: Rows) -> None:
    """Reason, place and namespace of the last drop of each flow."""
    dropped = records["hook"] == Hook.DROP
    where = rows[dropped]
    flows["drop_reason"][where] = records["reason"][dropped]
    flows["drop_location"][where] = records["detail"][dropped]
    flows["drop_netns"][where] = records["netns"][dropped]
