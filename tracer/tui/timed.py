"""An app with a time line under it: the keys that move along it."""

from __future__ import annotations

from textual.app import App

from tracer.tui.messages import MomentWanted
from tracer.tui.playhead import Playhead
from tracer.tui.widgets.tape_line import TapeLine
from tracer.tui.widgets.time_bar import TimeBar
from tracer.view import Player, Snapshot, ViewQuery


class TimedApp(App[int]):
    """Knows the newest answer and the next question; whoever extends it asks."""

    def __init__(self, player: Player | None, query: ViewQuery) -> None:
        """``player`` of a recording; live, time goes on by itself."""
        super().__init__()
        self._playhead = Playhead(player)
        self._query = query
        self._snapshot = Snapshot(query)

    def on_moment_wanted(self, message: MomentWanted) -> None:
        """Go to a moment."""
        self._move(self._playhead.seek(message.at_ns, self._snapshot.tape, self._query))

    def action_play(self) -> None:
        """Hold time, or let it go on."""
        self._move(self._playhead.toggle(self._snapshot.tape, self._query))

    def action_step(self, by: int) -> None:
        """One record on or back."""
        self._move(self._playhead.step(by, self._snapshot.tape, self._query), back=by < 0)

    def action_leap(self, by: int) -> None:
        """A good way along the time line."""
        self._move(self._playhead.leap(by, self._snapshot.tape, self._query), back=by < 0)

    def action_mark(self, by: int) -> None:
        """To another finding."""
        self._move(self._playhead.mark(by, self._snapshot.tape, self._query), back=by < 0)

    def action_pace(self, by: int) -> None:
        """Play slower or faster."""
        if not self._playhead.faster(by):
            self.notify("Live, the clock sets the pace.", timeout=2)
        self._change(self._query)

    def action_time(self) -> None:
        """Type a moment to go to."""
        bar = self.query_one(TimeBar)
        bar.value, bar.display, bar.tape = "", True, self._snapshot.tape
        bar.focus()

    def _move(self, query: ViewQuery, back: bool = False) -> None:
        """Another moment; told where there is no way back to it."""
        if back and not self._snapshot.tape.rewinds:
            self.notify("What came through a pipe cannot be read again.", timeout=3)
        self._change(query)

    def _show_tape(self) -> None:
        """Always under a recording; live where there is room, or who looks back."""
        line, tape = self.screen_stack[0].query_one(TapeLine), self._snapshot.tape
        line.tape = tape
        line.set_class(not tape.live or not tape.playing, "-needed")

    def _change(self, query: ViewQuery) -> None:
        """Ask this from now on."""
        self._query = query
