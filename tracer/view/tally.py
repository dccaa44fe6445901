"""Counts over groups of flows: one pass over whole columns, whatever the groups are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows, Gathered
from tracer.flow import Seen, State
from tracer.tuples import TupleHash, sides
from tracer.view.fetched import Fetched
from tracer.view.query import ViewQuery

RATE_WINDOW_NS = 10_000_000_000
"""New connections a second are those of this long."""
COUNT_EVERY_NS = 1_000_000_000
FEW_FLOWS = 10_000
_BAD = (State.REFUSED, State.LOST)
_OVER = (*_BAD, State.CLOSED)
_HASH = TupleHash()

Groups = npt.NDArray[np.intp]
"""Shape (n,): the group of each flow, counted from 0."""
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tally:
    """One row a group."""

    example: Groups
    """A flow of each group."""
    flows: Counts
    active: Counts
    """Neither ended nor failed."""
    bad: Counts
    """Refused or lost."""
    rate: Floats
    """New flows a second, lately."""
    answer_ns: Floats
    """How long answers took on average; 0 where none was timed."""


class CountPace:
    """Says when to count anew: always where it is cheap, else once a second of record time."""

    def __init__(self) -> None:
        self._of: tuple[object, ...] = ()
        self._at_ns = 0

    def is_due(self, flows: int, now_ns: int, query: ViewQuery) -> bool:
        """Whether an answer to this query needs other counts than the last one."""
        asked = (query.filter, query.group, query.all_flows, query.frozen, query.at_ns)
        stands = asked == self._of and 0 <= now_ns - self._at_ns < COUNT_EVERY_NS
        if stands and flows > FEW_FLOWS:
            return False
        self._of, self._at_ns = asked, now_ns
        return True


def tally(flows: Flows, groups: Groups, example: Groups, now_ns: int, began_ns: int) -> Tally:
    """Count flows by group; ``example`` has a flow of each group."""
    size = len(example)
    state, first, seen = flows["state"], flows["first_ns"], flows["seen"]
    active = (flows["ended_ns"] == 0) & ~np.isin(state, _OVER)
    recent = (first > now_ns - RATE_WINDOW_NS) & (seen & Seen.EXISTING == 0)
    span_s = max(min(now_ns - began_ns, RATE_WINDOW_NS), 1) / 1e9
    request, answer = flows["request_ns"], flows["answer_ns"]
    timed = np.flatnonzero((request > 0) & (answer > request))
    waited = np.bincount(groups[timed], (answer - request)[timed], minlength=size)
    times = np.bincount(groups[timed], minlength=size)
    return Tally(
        example,
        np.bincount(groups, minlength=size),
        np.bincount(groups[active], minlength=size),
        np.bincount(groups[np.isin(state, _BAD)], minlength=size),
        np.bincount(groups[recent], minlength=size) / span_s,
        waited / np.maximum(times, 1),
    )


def volumes(flows: Flows, groups: Groups, size: int) -> Counts:
    """Shape (size, 4): packets there and back, bytes there and back, as far as counted."""
    columns = [flows[name][:, way] for name in ("packets", "bytes") for way in (0, 1)]
    sums = [np.bincount(groups, column, minlength=size) for column in columns]
    return np.stack(sums, axis=1).astype(np.int64)


def chosen(flows: Flows, places: Groups) -> Flows:
    """Some of the flows, without fetching whole columns for them."""
    if isinstance(flows, Gathered | Fetched):
        return Gathered(flows.flows, flows.rows[places])
    return Gathered(flows, places)


def grouped(keys: npt.NDArray[np.uint64] | npt.NDArray[np.int32]) -> tuple[Groups, Groups]:
    """(an example of each group, the group of each row) of equal keys."""
    _, example, groups = np.unique(keys, return_index=True, return_inverse=True)
    return example.astype(np.intp), groups.reshape(-1).astype(np.intp)


def keys_of(flows: Flows, first: str, second: str = "") -> npt.NDArray[np.uint64]:
    """One number for one or two sides of each flow, with their ports and the protocol."""
    none = np.zeros(len(flows), dtype=np.uint16)
    other = second or first
    return _HASH(
        sides(
            flows[first],
            flows[f"{first}_port"],
            flows[other],
            flows[f"{other}_port"],
            flows["protocol"],
            none.astype(np.uint32),
        )
    )


def address_keys(flows: Flows, side: str) -> npt.NDArray[np.uint64]:
    """One number for the address on one side of each flow, whatever the port."""
    zero = np.zeros(len(flows), dtype=np.uint16)
    column = flows[side]
    return _HASH(sides(column, zero, column, zero, zero.astype(np.uint8), zero.astype(np.uint32)))
