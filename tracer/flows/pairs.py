"""What packets alone tell of translations: rows without a kernel mapping are completed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Hook, Records, picked
from tracer.flow import Leg, Rows, Seen
from tracer.flows import mappings
from tracer.flows.former import after
from tracer.flows.rows import Scopes, create
from tracer.flows.store import MAPPED, FlowStore
from tracer.index import Groups, Keys
from tracer.tuples import Sides, mirrored

HOOKS = (Hook.PAIRED,)

Mask = npt.NDArray[np.bool_]


def apply(store: FlowStore, records: Records, scopes: Scopes) -> Rows:
    """Take PAIRED records after the packets they are read from, or alone; the rows they touched.

    The kernel's word stands where there is one. What is told of an earlier connection on
    the same ports comes too late for its row and is left out.
    """
    tuples = mappings.before(records, scopes)
    rows, legs = store.find(tuples)
    mappings.drop_misoriented(store, rows[(rows >= 0) & (legs == Leg.CLIENT_IN)])
    rows, legs = store.find(tuples)
    missing = rows < 0
    if missing.any():
        some = Sides(tuples.src[missing], tuples.dst[missing], tuples.rest[missing])
        rows[missing] = create(
            store, some, store.client_keys(some), records["time_ns"][missing], scopes[missing]
        )
    own = missing | (legs == Leg.CLIENT_OUT)
    own &= (store.flows["seen"][rows] & MAPPED) == 0
    own &= _same_connection(store, records, rows) & _unclaimed(store, records, rows, scopes)
    records, rows = picked(records, own), rows[own]
    mappings.complete(store, records, rows)
    _witness(store, records, rows)
    return rows


def alone(store: FlowStore, records: Records, scopes: Scopes, begun: Keys) -> Mask:
    """Which PAIRED records may come before the packets they are read from.

    Nothing is known of their tuples yet, nothing else is told of them, and no other
    connection begins on their ports in this batch (``begun``: keys of its SYNs).
    """
    ends = []
    known = np.zeros(len(records), dtype=np.bool_)
    for tuples in (mappings.before(records, scopes), after(records, scopes)):
        keys = store.client_keys(tuples)
        known |= (store.find_keys(keys)[0] >= 0) | np.isin(keys, begun)
        ends.append(np.minimum(keys, store.client_keys(mirrored(tuples))))
    which = Groups.of(np.concatenate(ends)).which
    once = np.bincount(which)[which] == 1
    return ~known & once.reshape(2, -1).all(axis=0)


def fitting(store: FlowStore, records: Records, scopes: Scopes) -> Mask:
    """Which PAIRED records are of the connection that their ports' row is of now."""
    rows, legs = store.find(mappings.before(records, scopes))
    asked = (store.flows["seen"][rows] & np.uint32(Seen.SYN)) != 0
    own = (rows >= 0) & (legs == Leg.CLIENT_OUT) & asked & (records["seq"] != 0)
    return own & _same_connection(store, records, rows)


def _same_connection(store: FlowStore, records: Records, rows: Rows) -> Mask:
    flows = store.flows
    asked = (flows["seen"][rows] & np.uint32(Seen.SYN)) != 0
    told = records["seq"] != 0
    return ~(asked & told) | (flows["request_seq"][rows] == records["seq"])


def _unclaimed(store: FlowStore, records: Records, rows: Rows, scopes: Scopes) -> Mask:
    """The tuple after translation is not another flow's by better right.

    A row that packets made for it provisionally is merged, and a former pairing with it is
    over: its ports are in use again.
    """
    found, legs = store.find(after(records, scopes))
    seen = store.flows["seen"][found]
    mapped = (seen & MAPPED) != 0
    paired = (seen & np.uint32(Seen.PAIRED)) != 0
    own_life = _same_connection(store, records, found)
    claimed = mapped | np.where(legs == Leg.CLIENT_OUT, paired | ~own_life, legs != Leg.BACKEND_OUT)
    return (found < 0) | (found == rows) | ~claimed


def _witness(store: FlowStore, records: Records, rows: Rows) -> None:
    flows = store.flows
    np.minimum.at(flows["first_ns"], rows, records["time_ns"])
    np.maximum.at(flows["last_ns"], rows, records["time_ns"])
    flows["seen"][rows] |= np.uint32(Seen.PAIRED | Seen.PACKETS)
    flows["pairing"][rows] = records["detail"]
    told = records["seq"] != 0
    flows["request_seq"][rows[told]] = records["seq"][told]
