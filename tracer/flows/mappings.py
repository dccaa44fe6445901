"""What the kernel decided: conntrack mappings and IPVS connections become rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Flag, Hook, Records, membership, picked
from tracer.fields import Fields
from tracer.flow import FLOW, Engine, Flows, Leg, Rows, Seen
from tracer.flows.former import (
    ENDS,
    NOBODYS,
    after_differs,
    belongs_to_earlier_life,
    formers,
    own_ends,
    owners,
    past_ends,
)
from tracer.flows.lives import cuts, lives
from tracer.flows.store import MAPPED, FlowStore
from tracer.index import ascending, distinct
from tracer.tuples import Sides, sides

HOOKS = (Hook.CT_NEW, Hook.CT_UPDATE, Hook.CT_END, Hook.IPVS_NEW, Hook.IPVS_END)

_FROM_FLAG = {
    Flag.REPLIED: Seen.REPLIED,
    Flag.ASSURED: Seen.ASSURED,
    Flag.EXISTING: Seen.EXISTING,
}
_FOLDED = {
    Seen.SYN: Seen.SYN_TRANSLATED,
    Seen.ANSWER_CLIENT: Seen.ANSWER_BACKEND,
    Seen.RST_BACKEND: Seen.RST_BACKEND,
    Seen.RST_CLIENT: Seen.RST_CLIENT,
    Seen.RST_LOCAL: Seen.RST_LOCAL,
    Seen.RST_BEFORE_ANSWER: Seen.RST_BEFORE_ANSWER,
    Seen.ICMP_REFUSED: Seen.ICMP_REFUSED,
    Seen.FIN: Seen.FIN,
    Seen.DROPPED: Seen.DROPPED,
    Seen.LOCAL_IN: Seen.LOCAL_IN,
    Seen.PACKETS: Seen.PACKETS,
    Seen.RETRANSMITTED: Seen.RETRANSMITTED,
    Seen.NO_ROUTE: Seen.NO_ROUTE,
    Seen.TOO_BIG: Seen.TOO_BIG,
    Seen.TOO_BIG_AGAIN: Seen.TOO_BIG_AGAIN,
}
_FROM_IPVS = membership(Hook.IPVS_NEW, Hook.IPVS_END)
_KEPT = (
    *("refusal", "refused_by", "drop_reason", "drop_location", "drop_netns", "too_big_ns"),
    "explained",  # so that what was said of the provisional row is taken back
)


def before(records: Records, scopes: npt.NDArray[np.uint32]) -> Sides:
    """The tuples before translation, in native byte order."""
    return sides(
        records["src"],
        records["src_port"].astype(np.uint16),
        records["dst"],
        records["dst_port"].astype(np.uint16),
        records["protocol"],
        scopes,
    )


def apply(store: FlowStore, records: Records, scopes: npt.NDArray[np.uint32], source: Seen) -> Rows:
    """Take mapping records in time order; the rows they touched, with repeats."""
    keys = store.client_keys(before(records, scopes))
    fresh = (records["flags"] & Flag.EXISTING) == 0
    starts = (records["hook"] == Hook.CT_NEW) & fresh
    cut = cuts(keys, starts, records["hook"] == Hook.CT_END)
    return np.concatenate(
        [
            _apply_life(store, picked(records, life), scopes[life], source, cut[life])
            for life in lives(keys, cut)
        ]
    )


def _apply_life(
    store: FlowStore,
    records: Records,
    scopes: npt.NDArray[np.uint32],
    source: Seen,
    anew: npt.NDArray[np.bool_],
) -> Rows:
    """Records of one connection on each of their ports; ``anew`` marks those that follow another.

    What is left out is told of a connection that is not known.
    """
    rows, legs = store.find(before(records, scopes))
    drop_misoriented(store, rows[(rows >= 0) & (legs == Leg.CLIENT_IN)])
    rows = owners(store, records, np.where(legs == Leg.CLIENT_OUT, rows, -1))
    kept = rows != NOBODYS
    if not kept.all():
        rows, legs, anew, scopes = rows[kept], legs[kept], anew[kept], scopes[kept]
        records = picked(records, kept)
    ending = ENDS[records["hook"]]
    stale = belongs_to_earlier_life(store, records, rows, anew) & ~ending
    if stale.any():
        # What follows the beginning, in this life, is not the former connection's either.
        rows[np.isin(rows, rows[stale]) & ~own_ends(store, records, rows, stale)] = -1
    missing = (rows < 0) & ~ending
    if missing.any():
        rows[missing] = _create(store, picked(records, missing), scopes[missing])
        born, legs = store.find(before(records, scopes))
        rows = np.where((rows < 0) & (legs == Leg.CLIENT_OUT), born, rows)
    rows = past_ends(store, records, rows)
    known = rows >= 0
    if not known.all():
        rows, records = rows[known], picked(records, known)
    complete(store, records, rows)
    _witness(store, records, rows, source)
    return np.concatenate([rows, _displaced(store, records, rows)])


def _displaced(store: FlowStore, records: Records, rows: Rows) -> Rows:
    """End the former mappings whose end nobody told, since the kernel keeps one for a tuple.

    It does not tell the end of an entry that was made while nobody listened
    (``nf_conntrack_events`` = 2).
    """
    flows, at = store.flows, np.flatnonzero(records["hook"] == Hook.CT_NEW)
    over = formers(store, rows[at])
    untold = (over >= 0) & (flows["seen"][over] & np.uint32(Seen.MAPPED) != 0)
    over, at = over[untold], at[untold]
    flows["ended_ns"][over] = records["time_ns"][at]
    flows["seen"][over] |= np.uint32(Seen.ENDED)
    return over


def drop_misoriented(store: FlowStore, rows: Rows) -> None:
    """A flow first seen by its reply was guessed the wrong way round: the kernel knows better."""
    rows = ascending(rows)
    store.remove(rows[(store.flows["seen"][rows] & MAPPED) == 0])


def _create(store: FlowStore, records: Records, scopes: npt.NDArray[np.uint32]) -> Rows:
    """Rows for mappings not seen before; one for each distinct client tuple."""
    keys = store.client_keys(before(records, scopes))
    first, inverse = distinct(keys)
    chosen, scope = picked(records, first), scopes[first]
    rows = Fields(FLOW, len(chosen))
    rows["first_ns"] = rows["last_ns"] = chosen["time_ns"]
    rows["client"], rows["virtual"] = chosen["src"], chosen["dst"]
    rows["client_port"], rows["virtual_port"] = chosen["src_port"], chosen["dst_port"]
    rows["source"], rows["backend"] = chosen["src"], chosen["dst"]
    rows["source_port"], rows["backend_port"] = chosen["src_port"], chosen["dst_port"]
    rows["netns"], rows["family"], rows["protocol"] = scope, chosen["family"], chosen["protocol"]
    rows["service"] = -1
    return store.begin(rows)[inverse]


def complete(store: FlowStore, records: Records, rows: Rows) -> None:
    """Write the after-tuples into the rows and bind them.

    Conntrack's word is final: IPVS alone does not know of a masquerade behind it.
    """
    flows = store.flows
    from_ipvs = _FROM_IPVS[records["hook"]]
    final = (flows["seen"][rows] & np.uint32(Seen.MAPPED)) != 0
    told = (records["flags"] & Flag.AFTER) != 0
    use = told & ~(from_ipvs & final) & after_differs(flows, rows, records)
    order = np.flatnonzero(use)
    if not order.size:
        return
    order = order[np.argsort(~from_ipvs[order], kind="stable")]
    where = rows[order]
    store.unbind_backend(where[flows["seen"][where] & np.uint32(Seen.TRANSLATED) != 0])
    for side, name in (("source", "nat_src"), ("backend", "nat_dst")):
        flows[side][where] = records[name][order]
        flows[f"{side}_port"][where] = records[f"{name}_port"][order]
    where = ascending(where)
    translated = _translated(flows, where)
    flows["seen"][where] |= np.where(translated, np.uint32(Seen.TRANSLATED), np.uint32(0))
    where = where[translated]
    _fold_provisional(store, where)
    store.bind_backend(where)


def _translated(flows: Flows, rows: Rows) -> npt.NDArray[np.bool_]:
    return (
        (flows["source"][rows] != flows["client"][rows]).any(axis=1)
        | (flows["backend"][rows] != flows["virtual"][rows]).any(axis=1)
        | (flows["source_port"][rows] != flows["client_port"][rows])
        | (flows["backend_port"][rows] != flows["virtual_port"][rows])
    )


def _fold_provisional(store: FlowStore, rows: Rows) -> None:
    """Packets of the backend leg that came first made rows of their own: merge them."""
    flows = store.flows
    found, legs = store.find(store.backend_tuples(rows))
    provisional = (found >= 0) & (legs == 0) & (found != rows)
    provisional &= (flows["seen"][found] & MAPPED) == 0
    rows, found = rows[provisional], found[provisional]
    if not rows.size:
        return
    seen = flows["seen"][found]
    for bit, becomes in _FOLDED.items():
        has = (seen & np.uint32(bit)) != 0
        flows["seen"][rows] |= np.where(has, np.uint32(becomes), np.uint32(0))
    flows["leg_packets"][rows, 2:] = flows["leg_packets"][found, :2]
    flows["leg_ifindex"][rows, 2:] = flows["leg_ifindex"][found, :2]
    copied = (flows["refused_by"][rows] == flows["virtual"][rows]).all(axis=1)
    copied &= (flows["refused_by"][found] != 0).any(axis=1)
    flows["refused_by"][rows[copied]] = flows["refused_by"][found[copied]]
    for name in _KEPT:
        empty = (flows[name][rows] == 0).reshape(len(rows), -1).all(axis=1)
        flows[name][rows[empty]] = flows[name][found[empty]]
    flows["first_ns"][rows] = np.minimum(flows["first_ns"][rows], flows["first_ns"][found])
    flows["last_ns"][rows] = np.maximum(flows["last_ns"][rows], flows["last_ns"][found])
    late = flows["answer_ns"][rows] == 0
    flows["answer_ns"][rows[late]] = flows["answer_ns"][found[late]]
    # Two lives of one connection in a batch fold the same row: given back twice, it would be
    # handed out twice, and two flows would share it.
    store.remove(ascending(found))


def _witness(store: FlowStore, records: Records, rows: Rows, source: Seen) -> None:
    """Times, counters, engine and evidence bits of mapping records."""
    flows = store.flows
    np.minimum.at(flows["first_ns"], rows, records["time_ns"])
    np.maximum.at(flows["last_ns"], rows, records["time_ns"])
    bits = np.full(len(rows), np.uint32(source), dtype=np.uint32)
    for flag, seen in _FROM_FLAG.items():
        bits |= np.where(records["flags"] & flag, np.uint32(seen), np.uint32(0))
    ipvs = _FROM_IPVS[records["hook"]]
    bits |= np.where(ipvs, np.uint32(Seen.IPVS_NEW), np.uint32(Seen.MAPPED))
    flows["seen"][rows] &= ~np.uint32(Seen.PAIRED)
    flows["pairing"][rows] = 0
    np.bitwise_or.at(flows["seen"], rows, bits)
    _attribute(flows, records, rows)
    _end(flows, records, rows)


def _attribute(flows: Flows, records: Records, rows: Rows) -> None:
    """Which engine chose the mapping, where the record tells.

    IPVS rewrites the reply tuple without setting conntrack's DST_NAT bit
    (``ip_vs_update_conntrack``), so a changed destination without it is IPVS's work.
    """
    flags = records["flags"]
    moved = (records["dst"] != records["nat_dst"]).any(axis=1)
    status_known = (flags & Flag.EXISTING == 0) | (flags & (Flag.SRC_NAT | Flag.DST_NAT) != 0)
    quiet = (records["hook"] == Hook.CT_NEW) & status_known & moved & (flags & Flag.DST_NAT == 0)
    for engine, chosen in (
        (Engine.IPTABLES, (flags & Flag.IPTABLES) != 0),
        (Engine.NFTABLES, (flags & Flag.NFTABLES) != 0),
        (Engine.IPVS, ((flags & Flag.IPVS) != 0) | quiet),
    ):
        flows["engine"][rows[chosen]] = engine


def _end(flows: Flows, records: Records, rows: Rows) -> None:
    """Ends, with the kernel's own counters where accounting is on."""
    mapped = (flows["seen"][rows] & np.uint32(Seen.MAPPED)) != 0
    ends = (records["hook"] == Hook.CT_END) | ((records["hook"] == Hook.IPVS_END) & ~mapped)
    over = rows[ends]
    flows["ended_ns"][over] = records["time_ns"][ends]
    flows["seen"][over] |= np.uint32(Seen.ENDED)
    counted = ~_FROM_IPVS[records["hook"]] & ((records["seq"] != 0) | (records["ack"] != 0))
    pair = np.stack((records["seq"], records["ack"]), axis=1)[counted].astype(np.uint64)
    where = rows[counted]
    flows["packets"][where] = np.maximum(flows["packets"][where], pair)
