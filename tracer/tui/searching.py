"""An app with a list of rows in use: looking for a text in them."""

from __future__ import annotations

from tracer.plain import harmless
from tracer.tui.messages import FindChanged
from tracer.tui.search import Search
from tracer.tui.timed import TimedApp
from tracer.tui.widgets.blackholes import Blackholes
from tracer.tui.widgets.find_bar import FindBar
from tracer.tui.widgets.sheet_list import SheetList
from tracer.view import Page, Player, Snapshot, ViewQuery


class SearchingApp(TimedApp):
    """Asks for window after window until the text is found."""

    def __init__(self, player: Player | None, query: ViewQuery) -> None:
        super().__init__(player, query)
        self._search: Search | None = None
        self._found = ""
        """The text that was looked for last."""

    def on_find_changed(self, message: FindChanged) -> None:
        """Look from the cursor on."""
        self._found = message.text
        self._find(0)

    def action_find(self) -> None:
        """Type a text to look for."""
        bar = self.query_one(FindBar)
        bar.value, bar.display = "", True
        bar.focus()

    def action_find_next(self, step: int) -> None:
        """To the next, or the former, row with the text that was looked for."""
        self._find(step)

    def _find(self, step: int) -> None:
        """Begin to look ``step`` rows from the cursor."""
        if self._query.page is Page.BLACKHOLES:
            self._search = None
            findings = self.screen_stack[0].query_one(Blackholes)
            if self._found and not findings.find(self._found, step):
                self._tell_missing(self._found)
            return
        rows = self._list
        count = rows.snapshot.sheet.count
        wanted = self._found and count
        self._search = Search(self._found, rows.at + step, count, step < 0) if wanted else None
        if wanted:
            self._tick()

    def _looked(self, search: Search, shot: Snapshot) -> bool:
        """Whether this answer was for the search, which it ends or takes further."""
        if (shot.query.start, shot.query.height) != search.window():
            return False
        position = search.look(shot.sheet)
        if position >= 0 or search.exhausted:
            self._search = None
        if position >= 0:
            self._list.go_to(position)
        elif search.exhausted:
            self._tell_missing(search.text)
        self._tick()
        return True

    def _tell_missing(self, text: str) -> None:
        self.notify(f"Not found: {harmless(text)}", timeout=2, markup=False)

    @property
    def _list(self) -> SheetList:
        """The table in use."""
        raise NotImplementedError

    def _tick(self) -> None:
        """Ask, unless an answer is owed."""
        raise NotImplementedError
