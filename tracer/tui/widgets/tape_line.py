"""The time line: where on it the screen stands, and where something was found."""

from __future__ import annotations

from itertools import groupby

from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.widgets import Static

from tracer.cells import duration_text
from tracer.clock import rfc3339
from tracer.diagnosis.finding import Severity
from tracer.tui.messages import MomentWanted
from tracer.view import Mark, Tape

_MARKS = {
    Severity.CRITICAL: ("✗", "bold red"),
    Severity.WARNING: ("!", "bold yellow"),
    Severity.INFO: ("i", "cyan"),
}
_HERE = ("◆", "bold reverse")
_LEAST = 8
"""A track shorter than this tells nothing."""
_KEYS = "  p , . < > { } [ ] @"


class TapeLine(Static):
    """One line: state and pace, the moment, the track with findings, the end."""

    tape: reactive[Tape] = reactive(Tape())

    def render(self) -> Text:
        """The track takes what the words leave."""
        before, after = self._words()
        width = self._track_width(before, after)
        # A part for each cell would cost more than the rest of the screen.
        runs = groupby(track(self.tape, width), key=lambda cell: cell[1])
        parts = [("".join(mark for mark, _ in run), style) for style, run in runs]
        return Text.assemble(before, *parts, after)

    def on_click(self, event: events.Click) -> None:
        """To the place under the mouse."""
        before, after = self._words()
        width = self._track_width(before, after)
        at = event.x - self.styles.padding.left - before.cell_len
        if 0 <= at < width and self.tape.span_ns:
            share = at / max(width - 1, 1)
            self.post_message(MomentWanted(self.tape.begin_ns + int(self.tape.span_ns * share)))

    def _track_width(self, before: Text, after: Text) -> int:
        return max(self.size.width - before.cell_len - after.cell_len, _LEAST)

    def _words(self) -> tuple[Text, Text]:
        tape = self.tape
        before = Text.assemble((state_text(tape), "bold"), f" {_moment(tape.at_ns)} ")
        gone, whole = tape.at_ns - tape.begin_ns, tape.span_ns
        after = Text(f" {duration_text(max(gone, 0))} of {duration_text(whole)}")
        if self.size.width >= 110:
            after.append(_KEYS, "dim")
        return before, after


def state_text(tape: Tape) -> str:
    """What time does at the moment."""
    if tape.read < 1.0:
        return f"reading {tape.read:.0%}"
    if tape.live:
        behind_ns = tape.end_ns - tape.at_ns
        return "● live" if tape.playing else f"❚❚ {duration_text(max(behind_ns, 0))} ago"
    pace = f"{tape.pace:g}×" if tape.pace else "max"
    return f"{'▶' if tape.playing else '❚❚'} {pace}"


def track(tape: Tape, width: int) -> list[tuple[str, str]]:
    """(character, style) for each cell; of several findings in one the gravest is shown."""
    here = _cell(tape.at_ns, tape, width)
    cells = [("━" if place < here else "─", "dim") for place in range(width)]
    marks: list[Mark] = sorted(tape.marks, key=lambda mark: mark.severity)
    for mark in marks:
        cells[_cell(mark.at_ns, tape, width)] = _MARKS[mark.severity]
    known = cells[here][0]
    cells[here] = _HERE if known in "━─" else (known, "bold reverse")
    return cells


def _cell(at_ns: int, tape: Tape, width: int) -> int:
    share = (at_ns - tape.begin_ns) / tape.span_ns if tape.span_ns else 1.0
    return round(min(max(share, 0.0), 1.0) * (width - 1))


def _moment(at_ns: int) -> str:
    return rfc3339(at_ns)[11:23] if at_ns else "--:--:--.---"
