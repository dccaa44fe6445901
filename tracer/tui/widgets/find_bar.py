"""Where a text to look for is typed; the cursor moves while it is."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tracer.tui.messages import BarClosed, FindChanged


class FindBar(Input):
    """One line; Enter and Escape leave it where the cursor has come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "leave", "Stay here", id="find.leave"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, placeholder="find; n and N go on afterwards")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look while it is typed."""
        event.stop()
        self.post_message(FindChanged(event.value))

    def action_leave(self) -> None:
        """Back to the rows."""
        self.post_message(BarClosed())
