"""One line that names the pages and the keys that lead to them."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.widgets import Static

from tracer.tui.messages import PageWanted
from tracer.tui.pages import PAGES
from tracer.view import Page


class PageTabs(Static):
    """Digits and titles; the page in use is reversed, open findings are counted."""

    found: reactive[int] = reactive(0)
    page: reactive[Page] = reactive(Page.TRANSLATIONS)

    def render(self) -> Text:
        """All tabs on one line."""
        return Text(" ").join(text for text, _ in self._tabs())

    def on_click(self, event: events.Click) -> None:
        """The tab under the mouse."""
        left = self.styles.padding.left
        for text, page in self._tabs():
            if left <= event.x < left + text.cell_len:
                self.post_message(PageWanted(page))
            left += text.cell_len + 1

    def _tabs(self) -> list[tuple[Text, Page]]:
        return [
            (
                Text.assemble(
                    (entry.key, "bold"),
                    (f" {entry.title}{self._count(entry.page)}", ""),
                    style="reverse" if entry.page is self.page else "",
                ),
                entry.page,
            )
            for entry in PAGES
        ]

    def _count(self, page: Page) -> str:
        return f" {self.found}" if page is Page.BLACKHOLES else ""
