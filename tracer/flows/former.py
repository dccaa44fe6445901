"""Ports used again: which records tell of the connection before, and which of the next one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Hook, Records, membership, picked
from tracer.flow import Flows, Rows, Seen
from tracer.flows.rows import Scopes
from tracer.flows.store import MAPPED, FlowStore
from tracer.tuples import Sides, sides

BEGINS = membership(Hook.CT_NEW, Hook.IPVS_NEW)
ENDS = membership(Hook.CT_END, Hook.IPVS_END)
_LISTED = membership(Hook.IPVS_NEW, Hook.IPVS_END)
NOBODYS = -2
"""Instead of a row: the end of a connection that is not known."""
_TOO_SOON_NS = 5_000_000_000
"""Conntrack keeps even a reset connection for 10 s (``nf_conntrack_tcp_timeout_close``)."""

Mask = npt.NDArray[np.bool_]


def after(records: Records, scopes: Scopes) -> Sides:
    """The tuples after translation, in native byte order."""
    return sides(
        records["nat_src"],
        records["nat_src_port"].astype(np.uint16),
        records["nat_dst"],
        records["nat_dst_port"].astype(np.uint16),
        records["protocol"],
        scopes,
    )


def predecessors(flows: Flows, rows: Rows) -> Rows:
    """The connection on each row's ports before it, where a kernel told of one; else -1."""
    former = flows["former"][rows].astype(np.intp) - 1
    at = np.flatnonzero(former >= 0)
    before, now = former[at], rows[at]
    # A row that was given up to make room may be another connection's by now.
    same = flows["alive"][before] & (before != now)
    for name in ("client_port", "virtual_port", "netns", "protocol"):
        same &= flows[name][before] == flows[name][now]
    for name in ("client", "virtual"):
        same &= (flows[name][before] == flows[name][now]).all(axis=1)
    former[at[~same]] = -1
    return former


def formers(store: FlowStore, rows: Rows) -> Rows:
    """The mapping on each row's ports before it that nobody told the end of; -1 where none."""
    flows, former = store.flows, predecessors(store.flows, rows)
    at = np.flatnonzero(former >= 0)
    before = former[at]
    untold = (flows["ended_ns"][before] == 0) & (flows["seen"][before] & MAPPED != 0)
    former[at[~untold]] = -1
    return former


def after_differs(flows: Flows, rows: Rows, records: Records) -> Mask:
    """Whether records tell other tuples after translation than their rows have."""
    return (
        (flows["source"][rows] != records["nat_src"]).any(axis=1)
        | (flows["backend"][rows] != records["nat_dst"]).any(axis=1)
        | (flows["source_port"][rows] != records["nat_src_port"])
        | (flows["backend_port"][rows] != records["nat_dst_port"])
    )


def belongs_to_earlier_life(store: FlowStore, records: Records, rows: Rows, anew: Mask) -> Mask:
    """Whether the row found for a beginning is a former connection's on the same ports.

    ``anew``: records that follow the end of one, even if they were read in the same instant.
    """
    begins = BEGINS[records["hook"]] & (rows >= 0)
    earlier = np.zeros(len(rows), dtype=np.bool_)
    at = np.flatnonzero(begins)
    if not at.size:
        return earlier
    flows, old, records = store.flows, rows[at], picked(records, at)
    mapped = (flows["seen"][old] & MAPPED) != 0
    ended_ns = flows["ended_ns"][old]
    ended = (ended_ns != 0) & (anew[at] | (records["time_ns"] > ended_ns))
    moved = ((flows["backend"][old] != records["nat_dst"]).any(axis=1)) | (
        flows["backend_port"][old] != records["nat_dst_port"]
    )
    earlier[at] = mapped & (ended | moved)
    return earlier


def owners(store: FlowStore, records: Records, rows: Rows) -> Rows:
    """The rows, but of the former connection where a record tells of that one.

    The kernel keeps a closed connection for minutes and drops it when a request comes on
    its ports again: that request is often seen on an interface before the end is told,
    and by then its row is the one that the ports lead to.
    """
    at = np.flatnonzero(_not_begun(store, records, rows))
    if not at.size:
        return rows
    records, rows = picked(records, at), rows.copy()
    flows, next_one = store.flows, rows[at]
    former = formers(store, next_one)
    same = (former >= 0) & ~after_differs(flows, former, records)
    soon = records["time_ns"] < flows["first_ns"][next_one] + _TOO_SOON_NS
    unknown = np.where(ENDS[records["hook"]] & soon, NOBODYS, next_one)
    rows[at] = np.where(same, former, unknown)
    return rows


def _not_begun(store: FlowStore, records: Records, rows: Rows) -> Mask:
    """Records other than beginnings of rows whose own beginning nobody told them of yet.

    Their request was seen, or, for what conntrack tells, IPVS chose a backend for it.
    """
    hooks = records["hook"]
    begins, listed = BEGINS[hooks], _LISTED[hooks]
    seen = store.flows["seen"][rows]
    known = np.where(listed, seen & MAPPED, seen & np.uint32(Seen.MAPPED)) != 0
    asked = seen & np.uint32(Seen.SYN | Seen.IPVS_NEW) != 0
    open_ended = (rows >= 0) & asked & ~known & ~begins
    if open_ended.any() and begins.any():
        open_ended &= ~np.isin(rows, rows[begins & ~listed])
    return open_ended


def own_ends(store: FlowStore, records: Records, rows: Rows, stale: Mask) -> Mask:
    """Ends of the former connections themselves, among records on whose ports others begin.

    ``stale``: those beginnings, at least one. Before them any end is the former's; after them
    only one that names its backend, where it has not ended yet.
    """
    at = np.flatnonzero(stale)
    which, first = np.unique(rows[at], return_index=True)
    near = np.minimum(np.searchsorted(which, rows), len(which) - 1)
    earlier = (which[near] == rows) & (np.arange(len(rows)) < at[first][near])
    flows = store.flows
    same = (flows["backend"][rows] == records["nat_dst"]).all(axis=1)
    same &= flows["backend_port"][rows] == records["nat_dst_port"]
    same &= flows["ended_ns"][rows] == 0
    return ENDS[records["hook"]] & (rows >= 0) & (earlier | same)


def past_ends(store: FlowStore, records: Records, rows: Rows) -> Rows:
    """The rows, but the former connection's, or nobody's, where IPVS tells of that one's end.

    IPVS gives a closed connection up when a request comes on its ports again, and tells so
    after it has chosen the next one's backend (``ip_vs_conn_expire_now``).
    """
    told = records["flags"] & Flag.AFTER != 0
    at = np.flatnonzero((records["hook"] == Hook.IPVS_END) & told & (rows >= 0))
    if not at.size:
        return rows
    ends = picked(records, at)
    at = at[_other_backend(store, records, rows, at) | _too_soon(store, ends, rows[at])]
    former, rows = formers(store, rows[at]), rows.copy()
    same = (former >= 0) & ~after_differs(store.flows, former, picked(records, at))
    rows[at] = np.where(same, former, NOBODYS)
    return rows


def _other_backend(store: FlowStore, records: Records, rows: Rows, at: Rows) -> Mask:
    """Whether the kernel's word of the beginning, the latest in the batch, named another one."""
    flows, now = store.flows, rows[at]
    known = flows["seen"][now] & MAPPED != 0
    backend, port = flows["backend"][now], flows["backend_port"][now]
    to, to_port = records["nat_dst"], records["nat_dst_port"]
    begun = _beginnings(records, rows, at)
    anew = begun >= 0
    backend[anew], port[anew] = to[begun[anew]], to_port[begun[anew]]
    other = (backend != to[at]).any(axis=1) | (port != to_port[at])
    return np.asarray((known | anew) & other)


def _too_soon(store: FlowStore, ends: Records, rows: Rows) -> Mask:
    """Whether IPVS had one on these ports before, and this one has only just begun."""
    flows, former = store.flows, predecessors(store.flows, rows)
    listed = (former >= 0) & (flows["seen"][former] & np.uint32(Seen.IPVS_NEW) != 0)
    return np.asarray(listed & (ends["time_ns"] < flows["first_ns"][rows] + _TOO_SOON_NS))


def _beginnings(records: Records, rows: Rows, at: Rows) -> Rows:
    """For each record of ``at`` the last beginning of its row before it in the batch; or -1."""
    told = records["flags"] & Flag.AFTER != 0
    count, begins = len(rows), np.flatnonzero(BEGINS[records["hook"]] & told)
    if not begins.size:
        return np.full(len(at), -1, dtype=np.intp)
    begins = begins[np.argsort(rows[begins], kind="stable")]
    before = np.searchsorted(rows[begins] * count + begins, rows[at] * count + at) - 1
    found = begins[before]
    return np.where((before >= 0) & (rows[found] == rows[at]), found, -1)
