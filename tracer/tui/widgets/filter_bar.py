"""Where a filter is typed; hidden until it is wanted."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tracer.tui.messages import FilterCancelled, FilterSubmitted


class FilterBar(Input):
    """One line; Enter applies it, Escape leaves things as they were."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Leave the filter as it was", id="filter.cancel"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, placeholder="filter, empty for all; Enter applies, Esc leaves")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand the text up."""
        event.stop()
        self.post_message(FilterSubmitted(event.value))

    def action_cancel(self) -> None:
        """Leave without a change."""
        self.post_message(FilterCancelled())
