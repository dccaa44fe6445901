"""The table of flows: a filter, an order, and the texts of a window of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows, Gathered, Keys, Naming
from tracer.columns import BY_NAME, SCREEN_COLUMNS
from tracer.flow import State
from tracer.view.fetched import Fetched
from tracer.view.query import ViewQuery
from tracer.view.sheet import Heading, Sheet, Tone, window_of

Ids = npt.NDArray[np.uint64]

_TONES = {
    State.REFUSED: Tone.BAD,
    State.LOST: Tone.BAD,
    State.NEW: Tone.WARN,
    State.CLOSED: Tone.DIM,
    State.CLOSING: Tone.DIM,
}


def flow_sheet(asked: Fetched, naming: Naming, query: ViewQuery) -> Sheet:
    """The wanted window of these rows of a table."""
    ids = asked["id"]
    window = _window(asked, ids, naming, query)
    shown = Gathered(asked.flows, asked.rows[window.places])
    texts = [column.text(shown, naming) for column in SCREEN_COLUMNS if column.text]
    return Sheet(
        _headings(query),
        window.start,
        tuple(shown["id"].tolist()),
        tuple(zip(*texts, strict=True)),
        tuple(_TONES.get(State(state), Tone.PLAIN) for state in shown["state"].tolist()),
        len(asked),
        window.selected_at,
        newest=int(ids.max(initial=0)),
        fresh=int(np.count_nonzero(ids > query.mark)) if query.mark else 0,
    )


def _headings(query: ViewQuery) -> tuple[Heading, ...]:
    arrow = "▼" if query.descending else "▲"
    return tuple(
        Heading(column.title + (arrow if column.name == query.order else ""), column.right)
        for column in SCREEN_COLUMNS
    )


@dataclass(frozen=True, slots=True)
class _Window:
    start: int
    places: npt.NDArray[np.intp]
    """Index of each wanted row, in order."""
    selected_at: int


def _window(flows: Flows, ids: Ids, naming: Naming, query: ViewQuery) -> _Window:
    """The wanted stretch of the rows in order; equal keys stand by age, as the ids do."""
    order = BY_NAME[query.order].key
    keys = order(flows, naming) if order else ids
    if query.descending:
        keys, ids = ~keys, ~ids
    start, stop = window_of(len(keys), query.start, query.height)
    places = _first(keys, ids, stop)
    order_of_places = np.lexsort((ids[places], keys[places]))[start:stop]
    wanted = np.uint64(query.selected)
    at = _place(keys, ids, ~wanted if query.descending else wanted) if query.selected else -1
    return _Window(start, places[order_of_places], at)


def _first(keys: Keys, ids: Ids, count: int) -> npt.NDArray[np.intp]:
    """The rows that stand first, in no order: far cheaper than sorting all."""
    if count >= len(keys) // 4:
        return np.arange(len(keys))
    bound = np.partition(keys, count)[count]
    before, equal = np.flatnonzero(keys < bound), np.flatnonzero(keys == bound)
    missing = count - len(before)
    if missing < len(equal) // 4:
        equal = equal[np.argpartition(ids[equal], missing)[: missing + 1]]
    return np.concatenate((before, equal))


def _place(keys: Keys, ids: Ids, wanted: np.uint64) -> int:
    """Where a row stands, -1 if it is not there."""
    at = np.flatnonzero(ids == wanted)
    if not at.size:
        return -1
    key = keys[at[0]]
    return int(np.count_nonzero(keys < key) + np.count_nonzero((keys == key) & (ids < wanted)))
