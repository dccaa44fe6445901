"""The app: asks for snapshots, hands them down, and turns keys into the next question."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen

from tracer.columns import SCREEN_COLUMNS
from tracer.tui.bindings import BINDINGS, COMMANDS, next_theme
from tracer.tui.messages import (
    Checked,
    DetailWanted,
    FilterSubmitted,
    PageWanted,
    SessionBegan,
    SessionEnded,
    SnapshotReady,
)
from tracer.tui.pages import PAGES, with_check
from tracer.tui.palette import offered
from tracer.tui.screens import DegradedScreen, DetailScreen, HelpScreen
from tracer.tui.searching import SearchingApp
from tracer.tui.told import copy, write
from tracer.tui.widgets.blackholes import FINDING_PAGES, Blackholes, NoFindings
from tracer.tui.widgets.detail_pane import DetailPane, Subject
from tracer.tui.widgets.filter_bar import FilterBar, FilterInput, complaint
from tracer.tui.widgets.find_bar import FindBar
from tracer.tui.widgets.key_line import KeyLine
from tracer.tui.widgets.page_tabs import PageTabs
from tracer.tui.widgets.sheet_list import SheetList
from tracer.tui.widgets.status_line import StatusLine
from tracer.tui.widgets.tape_line import TapeLine
from tracer.tui.widgets.time_bar import TimeBar
from tracer.tui.widgets.trend_line import TrendLine
from tracer.view import Line, Page, Player, Snapshot, ViewQuery
from tracer.view.groups import GROUPS, opened_group

REFRESH_S = 0.25
"""By itself the screen asks this often."""
KEY_S = 0.05
"""After a key it asks at once, but never again within this time."""
INTERRUPTED = 130
_ORDERS = tuple(column.name for column in SCREEN_COLUMNS if column.key)
_LISTS = (
    "flows",
    "groups",
    *(entry.page for entry in PAGES if entry.page is not Page.TRANSLATIONS),
)
"""The tables of rows: flows listed and counted, then one a page."""


class TracerApp(SearchingApp):
    """One screen: status, blackholes, translations, details. Its result is the exit code."""

    TITLE = "viptrace"
    CSS_PATH = "tracer.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-middle"), (140, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (16, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(
        self,
        ask: Callable[[ViewQuery], None],
        title: str,
        query: ViewQuery | None = None,
        handle_signals: bool = False,
        check: Callable[[], None] = lambda: None,
        player: Player | None = None,
    ) -> None:
        """``player`` of a recording; live, time goes on by itself."""
        super().__init__(player, query or ViewQuery())
        self._ask = ask
        self._heading = title
        self._handle_signals = handle_signals
        self._check = check
        self._checked: tuple[Line, ...] = ()
        self._pane = DetailPane(id="detail")
        self._functions = False
        """Whether the way of a flow names the kernel's functions."""
        self._waiting = False
        self._asked_at = 0.0
        self._eager = False
        """Whether something was wished for since the last question."""
        self._held: dict[Page, int] = {}
        """While frozen: the newest row that each page had when it was first seen so."""
        self.failure: BaseException | None = None
        """What ended the session, if it was not its end."""

    def compose(self) -> ComposeResult:
        """Status above, the tables beside or above the details, keys below."""
        yield StatusLine(id="status")
        yield PageTabs(id="tabs")
        yield TrendLine(id="trends")
        with Container(id="body"):
            with Container(id="tables"):
                yield NoFindings(id="no-findings")
                yield Blackholes(id="findings")
                for name in _LISTS:
                    yield SheetList(id=name)
                yield FilterBar(id="filter")
                yield FindBar(id="find")
                yield TimeBar(id="time")
            yield self._pane
        yield TapeLine(id="tape")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Begin to ask."""
        self.query_one(StatusLine).title = self._heading
        self._show_page()
        self.set_interval(REFRESH_S, self._tick)
        self._tick()
        if self._handle_signals:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, self.exit, INTERRUPTED)

    def show(self, snapshot: Snapshot) -> None:
        """Take an answer; callable from any thread."""
        self.post_message(SnapshotReady(snapshot))

    def checked(self, lines: tuple[Line, ...]) -> None:
        """Take what is known of this machine; callable from any thread."""
        self.post_message(Checked(lines))

    def begin(self) -> None:
        """Another session answers; callable from any thread."""
        self.post_message(SessionBegan())

    def end(self, error: BaseException | None, leave: bool = False) -> None:
        """The session is over; callable from any thread."""
        self.post_message(SessionEnded(error, leave))

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        """Hand the answer down."""
        self._waiting = False
        if not self._has_main:
            return
        if self._eager:
            self._soon()
        shot = with_check(message.snapshot, self._checked)
        if self._search is not None and self._looked(self._search, shot):
            return
        self._snapshot = shot
        if shot.query.frozen:
            self._held.setdefault(shot.query.page, shot.sheet.newest)
        self._main.query_one(StatusLine).snapshot = shot
        self._main.query_one(Blackholes).show(shot)
        self._main.query_one(PageTabs).found = shot.open_count
        self._main.query_one(TrendLine).trends = shot.trends
        self._show_tape()
        if shot.query.page is self._query.page and shot.query.group == self._query.group:
            self._list.show(shot)
        if shot.names:
            self._main.query_one(FilterBar).seen = shot.names
        self._show_findings()
        self._show_detail()

    def on_checked(self, message: Checked) -> None:
        """Show what was found on this machine."""
        self._checked = message.lines
        self._tick()

    def on_session_began(self) -> None:
        """Nothing that was asked before is answered any more."""
        self._waiting = False
        if self._has_main:
            self._main.query_one(StatusLine).ended = False
        self._tick()

    def on_session_ended(self, message: SessionEnded) -> None:
        """A failure ends the screen; the end of the input does not."""
        self._waiting = False
        if self._has_main:
            self._main.query_one(StatusLine).ended = True
        if message.error is not None:
            self.failure = message.error
            self.exit(1)
        elif message.leave:
            self.exit(0)

    def on_view_moved(self) -> None:
        """Other rows or another selection: ask as soon as the pace allows."""
        self._show_detail()
        self._soon()

    def on_descendant_focus(self) -> None:
        """The details are those of the table in use."""
        self._show_detail()

    on_data_table_row_highlighted = on_descendant_focus

    def on_page_wanted(self, message: PageWanted) -> None:
        """A tab was clicked."""
        self.action_page(message.page)

    def on_detail_wanted(self, message: DetailWanted) -> None:
        """The whole screen for what is selected; of counted flows, those flows."""
        if self._list.id == "groups" and self._list.has_focus:
            self._open_group()
            return
        subject = self._subject()
        if subject is not None:
            self.push_screen(DetailScreen(subject, self._functions))

    def on_filter_submitted(self, message: FilterSubmitted) -> None:
        """Apply a filter that was understood."""
        self._close_filter()
        self._change(replace(self._query, filter=message.text))

    def on_filter_cancelled(self) -> None:
        """Back to the list."""
        self._close_filter()

    def on_bar_closed(self) -> None:
        """Back to the rows."""
        self.query_one(FindBar).display = self.query_one(TimeBar).display = False
        self._show_page()

    def action_filter(self) -> None:
        """Open the filter bar with the filter in force."""
        self.query_one(FilterBar).open(self._query.filter)
        self._change(replace(self._query, names=True))

    def action_page(self, page: str) -> None:
        """Show another page."""
        self._change(replace(self._query, page=Page(page), group=""))
        if self._query.page is Page.CHECK:
            self._check()
        self._show_page()

    def action_group(self) -> None:
        """Count flows by the next of the ways there are, then list them again."""
        ways = ("", *GROUPS)
        group = ways[(ways.index(self._query.group) + 1) % len(ways)]
        self._change(replace(self._query, page=Page.TRANSLATIONS, group=group))
        self._show_page()

    def action_order(self, step: int) -> None:
        """Order by another column."""
        order = _ORDERS[(_ORDERS.index(self._query.order) + step) % len(_ORDERS)]
        self._change(replace(self._query, order=order, descending=False))

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._change(replace(self._query, descending=not self._query.descending))

    def action_freeze(self) -> None:
        """Hold the list as it is, or let it go; capturing goes on."""
        self._held.clear()
        self._change(replace(self._query, frozen=not self._query.frozen))

    def action_all_flows(self) -> None:
        """With or without flows that are not translated."""
        self._change(replace(self._query, all_flows=not self._query.all_flows))

    def action_all_traffic(self) -> None:
        """Events and packets of all flows, or of the selected one only."""
        self._change(replace(self._query, all_traffic=not self._query.all_traffic))

    def action_copy(self) -> None:
        """Evidence and remedy into the terminal's clipboard (OSC 52)."""
        copy(self, self._subject())

    def action_write(self) -> None:
        """The same into a new file of the working directory."""
        write(self, self._subject())

    def action_functions(self) -> None:
        """With or without the kernel's functions on the way of a flow."""
        self._functions = not self._functions
        self._show_detail()

    def action_theme(self) -> None:
        """The next theme."""
        self.theme = next_theme(self.theme, self.available_themes)

    def action_degraded(self) -> None:
        """What does not work here, and what was lost."""
        self.push_screen(DegradedScreen(self._snapshot))

    def action_keys(self) -> None:
        """Help from the real bindings."""
        self.push_screen(HelpScreen())

    def action_leave(self) -> None:
        """Quit."""
        self.exit(0)

    def action_interrupt(self) -> None:
        """Quit as Ctrl-C does elsewhere."""
        self.exit(INTERRUPTED)

    def get_system_commands(self, screen: Screen[object]) -> Iterator[SystemCommand]:
        """What the palette offers."""
        return offered(self)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While text is typed or a page lies above, single keys are not commands."""
        typing = (
            isinstance(self.focused, FilterInput | FindBar | TimeBar) or len(self.screen_stack) > 1
        )
        return not (typing and action in COMMANDS)

    @property
    def _main(self) -> Screen[object]:
        """The screen below all pages."""
        return self.screen_stack[0]

    @property
    def _has_main(self) -> bool:
        """False before the parts are there and when they are already being removed."""
        return self.is_running and self._pane.is_attached

    def _change(self, query: ViewQuery) -> None:
        self._query = query
        self.on_view_moved()

    @property
    def _list(self) -> SheetList:
        """The table of the page in use."""
        if self._query.page is not Page.TRANSLATIONS:
            return self._main.query_one(f"#{self._query.page}", SheetList)
        return self._main.query_one("#groups" if self._query.group else "#flows", SheetList)

    def _soon(self) -> None:
        """Ask at once, or as soon as the last question is old enough and answered."""
        early_s = self._asked_at + KEY_S - time.monotonic()
        self._eager = self._waiting or early_s > 0
        if not self._eager:
            self._tick()
        elif not self._waiting:
            self.set_timer(early_s, self._tick)

    def _tick(self) -> None:
        """Ask, unless an answer is still owed."""
        if self._waiting or not self._has_main:
            return
        rows, flows = self._list, self._main.query_one("#flows", SheetList)
        start, height = self._search.window() if self._search else rows.window()
        self._waiting, self._asked_at, self._eager = True, time.monotonic(), False
        until, mark = self._held.get(self._query.page, -1), 0 if rows.follows else rows.mark
        query = replace(self._query, start=start, height=height, until=until, mark=mark)
        self._ask(replace(query, selected=flows.selected, row=rows.selected))

    def _show_page(self) -> None:
        """Only what belongs to the page in use."""
        page = self._query.page
        shown = self._list
        for rows in self._main.query(SheetList):
            rows.display = rows is shown and page is not Page.BLACKHOLES
        self._main.query_one(PageTabs).page = page
        self._show_findings()
        (self._main.query_one(Blackholes) if page is Page.BLACKHOLES else self._list).focus()

    def _show_findings(self) -> None:
        findings = self._main.query_one(Blackholes)
        findings.stand_on(self._query.page, self._snapshot)
        nothing = self._query.page in FINDING_PAGES and not findings.display
        word = self._snapshot.missing if self._query.page is Page.BLACKHOLES else ""
        self._main.query_one("#no-findings", NoFindings).tell(nothing, word)

    def _open_group(self) -> None:
        """The flows that are counted in the selected row."""
        text = opened_group(self._query, self._list.snapshot.sheet, self._list.selected)
        if text and complaint(text) is None:
            self._change(replace(self._query, filter=text, group=""))
            self._show_page()

    def _subject(self) -> Subject:
        """What is selected: in the table in use, else the gravest finding."""
        findings, rows = self._main.query_one(Blackholes), self._list
        detail = self._snapshot.detail
        on_findings = self._main.focused is findings or self._query.page is Page.BLACKHOLES
        if rows.selected and not on_findings:
            return detail if detail and detail.id == rows.selected else None
        return findings.chosen

    def _show_detail(self) -> None:
        if self._has_main:
            self._pane.show(self._subject(), self._functions)

    def _close_filter(self) -> None:
        self.query_one(FilterBar).display = False
        self._query = replace(self._query, names=False)
        self._show_page()
