"""From keys to places on the time line: a recording's are its player's, live ones the query's."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tracer.errors import InputError
from tracer.view import Player, Tape, ViewQuery

_LEAPS = 20
"""Leaps from one end to the other."""
_LIVE_STEP_NS = 1_000_000_000
_SECOND_NS = 1_000_000_000
_UNITS = {"ms": 1e6, "": 1e9, "s": 1e9, "m": 60e9, "h": 3600e9}
_SPAN = re.compile(r"([+-]?)(\d+(?:\.\d*)?)\s*(ms|s|m|h|%|)")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?")


class Playhead:
    """Moves along the tape of the newest answer."""

    def __init__(self, player: Player | None) -> None:
        self._player = player

    def toggle(self, tape: Tape, query: ViewQuery) -> ViewQuery:
        """Hold, or go on; live, on means now."""
        if self._player is None:
            return replace(query, at_ns=0 if query.at_ns else tape.end_ns)
        self._player.toggle()
        return query

    def step(self, by: int, tape: Tape, query: ViewQuery) -> ViewQuery:
        """One record on or back; live, one second."""
        if self._player is None:
            return self.seek(_at(tape, query) + by * _LIVE_STEP_NS, tape, query)
        self._player.step(by)
        return query

    def leap(self, by: int, tape: Tape, query: ViewQuery) -> ViewQuery:
        """A twentieth of the whole on or back."""
        return self.seek(_at(tape, query) + by * tape.span_ns // _LEAPS, tape, query)

    def mark(self, by: int, tape: Tape, query: ViewQuery) -> ViewQuery:
        """To the next finding, or the one before; nowhere if there is none."""
        times = [mark.at_ns for mark in tape.marks]
        ahead = [at_ns for at_ns in times if (at_ns - tape.at_ns) * by > 0]
        return self.seek(min(ahead) if by > 0 else max(ahead), tape, query) if ahead else query

    def faster(self, by: int) -> bool:
        """Another pace; False where the clock alone sets it."""
        if self._player is None:
            return False
        self._player.faster(by)
        return True

    def seek(self, at_ns: int, tape: Tape, query: ViewQuery) -> ViewQuery:
        """To this moment, as far as the tape reaches; live, its end means now."""
        at_ns = min(max(at_ns, tape.begin_ns), tape.end_ns)
        if self._player is None:
            return replace(query, at_ns=0 if at_ns >= tape.end_ns else at_ns)
        self._player.seek(at_ns)
        return query


def _at(tape: Tape, query: ViewQuery) -> int:
    """Where one is: the last wish counts before it is answered, or quick keys would be lost."""
    return query.at_ns or tape.at_ns


def moment(text: str, tape: Tape) -> int:
    """The moment that somebody typed; InputError where it is none.

    A time of day (UTC), seconds from the start, ``-5s`` from here, or a share.
    """
    said = text.strip().lower()
    clock, span = _CLOCK.fullmatch(said), _SPAN.fullmatch(said)
    if clock:
        return _time_of_day(clock, tape)
    if not span:
        raise InputError(
            "That is no time.",
            "A time of day (UTC), a span or a share is understood.",
            "For example 14:03:27.5, 90s from the start, -5s from here, or 50%.",
        )
    sign, number, unit = span.groups()
    if unit == "%":
        return tape.begin_ns + int(tape.span_ns * min(float(number), 100.0) / 100)
    length_ns = int(float(number) * _UNITS[unit])
    if sign:
        return tape.at_ns + (length_ns if sign == "+" else -length_ns)
    return tape.begin_ns + length_ns


def _time_of_day(clock: re.Match[str], tape: Tape) -> int:
    """The first such time of day at or behind the start, else the one before it."""
    hour, minute, second, fraction = clock.groups()
    into = timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0))
    began = datetime.fromtimestamp(tape.begin_ns // _SECOND_NS, UTC)
    day = began.replace(hour=0, minute=0, second=0)
    at_ns = int((day + into).timestamp()) * _SECOND_NS + int((fraction or "0").ljust(9, "0"))
    nights = 24 * 3600 * _SECOND_NS
    return at_ns + nights if at_ns < tape.begin_ns and at_ns + nights <= tape.end_ns else at_ns
