"""The table of translations: draws visible rows only, whatever the number of flows."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracer.columns import SCREEN_COLUMNS
from tracer.flow import State
from tracer.plain import shortened
from tracer.tui.messages import DetailWanted, ViewMoved
from tracer.view import Snapshot, ViewQuery

_GAP = "  "
_MAX_WIDTH = 47
"""An IPv6 address in brackets with its port."""
_STATE_CLASS = {
    State.REFUSED: "flow-list--bad",
    State.LOST: "flow-list--bad",
    State.NEW: "flow-list--new",
    State.CLOSED: "flow-list--closed",
    State.CLOSING: "flow-list--closed",
}


class FlowList(ScrollView, can_focus=True):
    """Rows of the newest snapshot; the selection sticks to a flow, not to a position."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "flow-list--header",
        "flow-list--cursor",
        "flow-list--bad",
        "flow-list--new",
        "flow-list--closed",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row up", id="flows.up", show=False),
        Binding("down,j", "move(1)", "Row down", id="flows.down", show=False),
        Binding("pageup", "page(-1)", "Page up", id="flows.page-up", show=False),
        Binding("pagedown", "page(1)", "Page down", id="flows.page-down", show=False),
        Binding("home,g", "first", "First row", id="flows.first", show=False),
        Binding("end,G", "last", "Last row", id="flows.last", show=False),
        Binding("left", "scroll_left", "Columns to the left", id="flows.left", show=False),
        Binding("right", "scroll_right", "Columns to the right", id="flows.right", show=False),
        Binding("enter", "details", "Details", id="flows.details"),
        Binding("escape", "unselect", "Select nothing", id="flows.unselect", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.snapshot = Snapshot(ViewQuery())
        self.selected = 0
        """Id of the selected flow; 0 none."""
        self._wanted_at = -1
        """Position to select once its row is known."""
        self._widths = [len(column.title) for column in SCREEN_COLUMNS]

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot from now on, keeping the selected row where it is on screen."""
        before, self.snapshot = self.snapshot, snapshot
        if before.query.filter != snapshot.query.filter:
            self._widths = [len(column.title) for column in SCREEN_COLUMNS]
        self._grow_columns()
        width = sum(self._widths) + len(_GAP) * (len(self._widths) - 1)
        self.virtual_size = Size(width, snapshot.matching + 1)
        self._follow(before, snapshot)
        if self._wanted_at >= 0:
            self._move_to(self._wanted_at)
        self.refresh()

    def window(self) -> tuple[int, int]:
        """First position and number of rows worth asking for: a screenful around the visible."""
        height = max(self.size.height, 1)
        return max(self.scroll_offset.y - height, 0), 3 * height

    def render_line(self, y: int) -> Strip:
        """The titles on the first line, below them the rows under the scroll position."""
        width = self.size.width
        strip = self._header() if y == 0 else self._row(self.scroll_offset.y + y - 1)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + width, self.rich_style)

    def action_move(self, step: int) -> None:
        """Select the next row, or the first visible one."""
        at = self._selected_at()
        self._move_to(self.scroll_offset.y if at < 0 else at + step)

    def action_page(self, pages: int) -> None:
        """Move by what is visible."""
        at = self._selected_at()
        rows = max(self.size.height - 1, 1)
        self._move_to((self.scroll_offset.y if at < 0 else at) + pages * rows)

    def action_first(self) -> None:
        """To the first row."""
        self._move_to(0)

    def action_last(self) -> None:
        """To the last row."""
        self._move_to(self.snapshot.matching - 1)

    def action_unselect(self) -> None:
        """Back to nothing selected, so that new rows push the others down."""
        self.selected, self._wanted_at = 0, -1
        self._moved()

    def action_details(self) -> None:
        """All about the selected flow."""
        self.post_message(DetailWanted())

    def on_click(self, event: events.Click) -> None:
        """Select the row under the mouse."""
        if event.y > 0:
            self._move_to(self.scroll_offset.y + event.y - 1)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Rows that come into sight have to be asked for."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(ViewMoved())

    def on_resize(self) -> None:
        """More rows may be visible."""
        self.post_message(ViewMoved())

    def _selected_at(self) -> int:
        """Position of the selected flow in the newest snapshot, -1 if it is not there."""
        if not self.selected:
            return -1
        if self.selected in self.snapshot.ids:
            return self.snapshot.start + self.snapshot.ids.index(self.selected)
        same = self.snapshot.query.selected == self.selected
        return self.snapshot.selected_at if same else -1

    def _move_to(self, position: int) -> None:
        if not self.snapshot.matching:
            return
        position = min(max(position, 0), self.snapshot.matching - 1)
        index = position - self.snapshot.start
        known = 0 <= index < len(self.snapshot.ids)
        self._wanted_at = -1 if known else position
        if known:
            self.selected = self.snapshot.ids[index]
        self._scroll_into_view(position)
        self._moved()

    def _scroll_into_view(self, position: int) -> None:
        rows = max(self.size.height - 1, 1)
        top = self.scroll_offset.y
        if position < top:
            self.scroll_to(y=position, animate=False, force=True)
        elif position >= top + rows:
            self.scroll_to(y=position - rows + 1, animate=False, force=True)

    def _moved(self) -> None:
        self.refresh()
        self.post_message(ViewMoved())

    def _follow(self, before: Snapshot, after: Snapshot) -> None:
        """Move with the selected row when others came or went above it."""
        same = before.query.selected == after.query.selected == self.selected != 0
        if not same or min(before.selected_at, after.selected_at) < 0:
            return
        top = self.scroll_offset.y
        was_visible = top <= before.selected_at < top + self.size.height - 1
        moved = after.selected_at - before.selected_at
        if was_visible and moved:
            self.scroll_to(y=max(top + moved, 0), animate=False, force=True)

    def _grow_columns(self) -> None:
        """Columns only grow while a filter stands: a table that breathes cannot be read."""
        for row in self.snapshot.cells:
            for place, text in enumerate(row):
                if len(text) > self._widths[place]:
                    self._widths[place] = min(cell_len(text), _MAX_WIDTH)

    def _header(self) -> Strip:
        query = self.snapshot.query
        titles = [
            f"{column.title}{'▼' if query.descending else '▲'}"
            if column.name == query.order
            else column.title
            for column in SCREEN_COLUMNS
        ]
        style = self.get_component_rich_style("flow-list--header")
        return _strip(tuple(titles), tuple(self._widths), style)

    def _row(self, position: int) -> Strip:
        index = position - self.snapshot.start
        if not 0 <= index < len(self.snapshot.cells):
            missing = index >= 0 and position < self.snapshot.matching
            return Strip([Segment("…" if missing else "", self.rich_style)])
        style = self.rich_style
        state = _STATE_CLASS.get(State(self.snapshot.states[index]))
        if state:
            style += self.get_component_rich_style(state)
        if self.snapshot.ids[index] == self.selected:
            style += self.get_component_rich_style("flow-list--cursor")
        return _strip(self.snapshot.cells[index], tuple(self._widths), style)


@lru_cache(maxsize=1024)
def _strip(texts: tuple[str, ...], widths: tuple[int, ...], style: Style) -> Strip:
    """One line of cells; the texts are plain, never markup."""
    parts = []
    for text, width, column in zip(texts, widths, SCREEN_COLUMNS, strict=True):
        fitted = shortened(text, width)
        if column.right:
            fitted = " " * (width - cell_len(fitted)) + fitted
        parts.append(set_cell_size(fitted, width))
    return Strip([Segment(_GAP.join(parts), style)])
