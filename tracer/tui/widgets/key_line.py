"""The keys that matter here, on the last line.

Textual's own footer is a widget for each key and made anew whenever the focus moves, which
costs as much as drawing a whole page.
"""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Static

_GAP = "  "


class KeyLine(Static):
    """What the real bindings say; a click does what the key does."""

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)

    def render(self) -> Text:
        """Key and words of every binding that wants to be shown."""
        return Text(_GAP).join([self._part(binding) for binding in self._offered()])

    async def on_click(self, event: events.Click) -> None:
        """Do what stands under the mouse."""
        left = self.styles.padding.left
        for binding in self._offered():
            width = self._part(binding).cell_len
            if left <= event.x < left + width:
                self.app.simulate_key(binding.key)
            left += width + len(_GAP)

    def _follow(self, _: Screen[object]) -> None:
        self.refresh()

    def _offered(self) -> list[Binding]:
        active = self.screen.active_bindings.values()
        return [found.binding for found in active if found.binding.show and found.enabled]

    def _part(self, binding: Binding) -> Text:
        key = self.app.get_key_display(binding)
        return Text.assemble((key, "bold"), f" {binding.description}")
