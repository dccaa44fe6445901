"""A table as texts: what every page of the screen is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from tracer.detail import Detail

MASK = (1 << 62) - 1


class Tone(IntEnum):
    """What a row means to its reader; the screen gives each a style."""

    PLAIN = 0
    GOOD = 1
    WARN = 2
    BAD = 3
    DIM = 4
    HEAD = 5
    """A row that others stand under."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of one column."""

    title: str
    right: bool = False
    """Numbers stand to the right."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a short table that is made whole."""

    key: tuple[object, ...]
    """What the row is about, the same in every answer."""
    cells: tuple[str, ...]
    tone: Tone = Tone.PLAIN

    @property
    def id(self) -> int:
        """A number for the key, never 0."""
        return hash(self.key) & MASK | 1


@dataclass(frozen=True, slots=True)
class Sheet:
    """A window of rows; all texts are harmless."""

    headings: tuple[Heading, ...] = ()
    start: int = 0
    """Position of the first row below; smaller than asked for when rows went away."""
    ids: tuple[int, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()
    """For each row a text for every heading."""
    tones: tuple[int, ...] = ()
    count: int = 0
    """Rows that the page has."""
    selected_at: int = -1
    """Position of the selected row, -1 if it is not there."""
    newest: int = 0
    """The highest id on the page, where ids are given in order; else 0."""
    fresh: int = 0
    """Rows newer than the mark in the query."""


def window_of(count: int, start: int, height: int) -> tuple[int, int]:
    """First and past-the-last position of a window that rows may have left."""
    begin = min(max(start, 0), max(count - height, 0))
    return begin, min(begin + height, count)


def sheet_of(
    headings: tuple[Heading, ...],
    lines: Sequence[Line],
    start: int = 0,
    height: int = 1 << 30,
    chosen: int = 0,
) -> Sheet:
    """The window of a table that is at hand as a whole."""
    begin, end = window_of(len(lines), start, height)
    shown = lines[begin:end]
    at = (
        next((place for place, line in enumerate(lines) if line.id == chosen), -1) if chosen else -1
    )
    return Sheet(
        headings,
        begin,
        tuple(line.id for line in shown),
        tuple(line.cells for line in shown),
        tuple(line.tone for line in shown),
        len(lines),
        at,
    )


def detail_from(headings: tuple[Heading, ...], line: Line) -> Detail:
    """A line of few cells with nothing cut off."""
    facts = tuple(
        (heading.title, cell.strip())
        for heading, cell in zip(headings, line.cells, strict=True)
        if cell.strip()
    )
    return Detail(line.id, line.cells[0].strip(), facts)
