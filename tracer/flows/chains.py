"""NAT of NAT: two flows of different namespaces that are one connection name each other."""

from __future__ import annotations

import numpy as np

from tracer.flow import Leg, Rows
from tracer.flows.store import FlowStore
from tracer.tuples import Sides


def link(store: FlowStore, rows: Rows) -> None:
    """Name the flow in the other scope whose client tuple is this one's backend tuple.

    Node A translates client -> NodePort to its own address -> pod; node B sees that
    as a connection of its own. Both rows are here only when several namespaces are
    traced, so a table with one scope costs one comparison.
    """
    scopes = store.scopes()
    if len(scopes) < 2:
        return
    for scope in scopes:
        others = rows[store.flows["netns"][rows] != scope]
        _name(store, others, _in_scope(store.backend_tuples(others), scope), Leg.CLIENT_OUT)
        _name(store, others, _in_scope(store.client_tuples(others), scope), Leg.BACKEND_OUT)


def _in_scope(tuples: Sides, scope: int) -> Sides:
    low = np.uint64((1 << 40) - 1)
    return Sides(tuples.src, tuples.dst, tuples.rest & low | np.uint64(scope) << np.uint64(40))


def _name(store: FlowStore, rows: Rows, tuples: Sides, leg: Leg) -> None:
    found, legs = store.find(tuples)
    hit = (found >= 0) & (legs == leg)
    here, there = rows[hit], found[hit]
    first, second = (here, there) if leg == Leg.CLIENT_OUT else (there, here)
    store.flows["downstream"][first] = store.flows["id"][second]
    store.flows["upstream"][second] = store.flows["id"][first]
