"""The table of flows: a filter, an order, and the texts of a window of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows, Gathered, Keys, Naming
from tracer.columns import BY_NAME, SCREEN_COLUMNS
from tracer.flow import Rows, State
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


def flow_sheet(flows: npt.NDArray[np.void], rows: Rows, naming: Naming, query: ViewQuery) -> Sheet:
    """The wanted window of these rows of a table."""
    asked = Gathered(flows, rows)
    ids = asked["id"]
    window = _window(asked, ids, naming, query)
    shown = flows[rows[window.places]]
    texts = [column.text(shown, naming) for column in SCREEN_COLUMNS if column.text]
    return Sheet(
        _headings(query),
        window.start,
        tuple(shown["id"].tolist()),
        tuple(zip(*texts, strict=True)),
        tuple(_TONES.get(State(state), Tone.PLAIN) for state in shown["state"].tolist()),
        len(rows),
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
    keys, by_age = _keys(flows, ids, naming, query)
    count = len(keys)
    start, stop = window_of(count, query.start, query.height)
    candidates = np.arange(count)
    if stop < count // 4:
        # Far cheaper than sorting all: only what can be among the first ``stop``.
        bound = np.partition(keys, stop)[stop]
        candidates = np.flatnonzero(keys <= bound)
    order = candidates[np.argsort(keys[candidates], kind="stable")][start:stop]
    return _Window(start, by_age[order], _place(ids, keys, by_age, query.selected))


def _keys(
    flows: Flows, ids: Ids, naming: Naming, query: ViewQuery
) -> tuple[Keys, npt.NDArray[np.intp]]:
    """Keys to sort ascending, and the row each belongs to; rows are arranged by id."""
    by_age = np.argsort(ids)
    order = BY_NAME[query.order].key
    keys = order(flows, naming)[by_age] if order else by_age
    return (~keys[::-1], by_age[::-1]) if query.descending else (keys, by_age)


def _place(ids: Ids, keys: Keys, by_age: npt.NDArray[np.intp], selected: int) -> int:
    at = np.flatnonzero(ids[by_age] == selected) if selected else np.zeros(0, np.intp)
    if not at.size:
        return -1
    key = keys[at[0]]
    return int((keys < key).sum() + (keys[: at[0]] == key).sum())
