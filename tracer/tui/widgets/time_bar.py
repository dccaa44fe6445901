"""Where a moment to go to is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tracer.errors import InputError
from tracer.plain import harmless
from tracer.tui.messages import BarClosed, MomentWanted
from tracer.tui.playhead import moment
from tracer.view import Tape


class TimeBar(Input):
    """One line; a mistake is told and stays to be mended."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Stay at this moment", id="time.leave"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, placeholder="go to 14:03:27.5 (UTC), 90s, -5s, +5s or 50%")
        self.tape = Tape()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Nothing before Enter."""
        event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go there, if it is a time."""
        event.stop()
        try:
            wanted = moment(event.value, self.tape)
        except InputError as error:
            words = harmless(" ".join(str(error).splitlines()))
            self.notify(words, severity="error", markup=False)
            return
        self.post_message(MomentWanted(wanted))
        self.post_message(BarClosed())

    def action_leave(self) -> None:
        """Back to the rows."""
        self.post_message(BarClosed())
