"""Which records belong to one flow: those that carry one of its four tuples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import EventRows, Flag
from tracer.flow import Leg

Legs = npt.NDArray[np.int8]
_ENDS = {
    Leg.CLIENT_OUT: ("client", "virtual"),
    Leg.CLIENT_IN: ("virtual", "client"),
    Leg.BACKEND_OUT: ("source", "backend"),
    Leg.BACKEND_IN: ("backend", "source"),
}


def legs_of(records: EventRows, flow: npt.NDArray[np.void]) -> Legs:
    """The leg of each record, -1 where it is of another flow; ``flow`` is one row."""
    legs = np.full(len(records), -1, dtype=np.int8)
    near = np.flatnonzero(records["protocol"] == flow["protocol"][0])
    for leg in reversed(Leg):
        legs[near[_carries(records, near, flow, leg)]] = leg
    return legs


def touched(records: EventRows, flow: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """EventRows with a tuple of the flow before or after translation."""
    before = legs_of(records, flow) >= 0
    after = np.flatnonzero(~before & (records["flags"] & Flag.AFTER != 0))
    for leg in Leg:
        before[after[_carries(records, after, flow, leg, "nat_")]] = True
    return before


def _carries(
    records: EventRows,
    rows: npt.NDArray[np.intp],
    flow: npt.NDArray[np.void],
    leg: Leg,
    prefix: str = "",
) -> npt.NDArray[np.intp]:
    """Places in ``rows``; ports are compared first, as they tell most apart."""
    sides = tuple(zip((f"{prefix}src", f"{prefix}dst"), _ENDS[leg], strict=True))
    places = np.arange(len(rows))
    for column, end in sides:
        places = places[records[f"{column}_port"][rows[places]] == flow[f"{end}_port"][0]]
    for column, end in sides:
        same = (records[column][rows[places]] == flow[end][0]).all(axis=1)
        places = places[same]
    return places
