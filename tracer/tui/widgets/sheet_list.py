"""The table of a page: draws visible rows only, whatever their number."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracer.plain import shortened
from tracer.tui.messages import DetailWanted, ViewMoved
from tracer.view import Heading, Snapshot, Tone, ViewQuery

_GAP = "  "
_MAX_WIDTH = 47
"""An IPv6 address in brackets with its port."""
_LAST_WIDTH = 160
"""Nothing stands behind the last column."""
_TONE_CLASS = {
    Tone.GOOD: "sheet-list--good",
    Tone.WARN: "sheet-list--warn",
    Tone.BAD: "sheet-list--bad",
    Tone.DIM: "sheet-list--dim",
    Tone.HEAD: "sheet-list--head",
}


class SheetList(ScrollView, can_focus=True):
    """Rows of the newest snapshot; the selection sticks to what a row is about.

    At the top with nothing selected it follows what comes; anywhere else what is read
    stays where it is, and the number of new rows is told.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sheet-list--header",
        "sheet-list--cursor",
        *_TONE_CLASS.values(),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row up", id="rows.up", show=False),
        Binding("down,j", "move(1)", "Row down", id="rows.down", show=False),
        Binding("pageup", "page(-1)", "Page up", id="rows.page-up", show=False),
        Binding("pagedown", "page(1)", "Page down", id="rows.page-down", show=False),
        Binding("home,g", "first", "First row", id="rows.first", show=False),
        Binding("end,G", "last", "Last row", id="rows.last", show=False),
        Binding("left", "scroll_left", "Columns to the left", id="rows.left", show=False),
        Binding("right", "scroll_right", "Columns to the right", id="rows.right", show=False),
        Binding("enter", "details", "Details", id="rows.details"),
        Binding(
            "escape",
            "unselect",
            "Select nothing, follow what comes",
            id="rows.unselect",
            show=False,
        ),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.snapshot = Snapshot(ViewQuery())
        self.selected = 0
        """Id of the selected row; 0 none."""
        self.mark = 0
        """The newest row when the list last followed."""
        self._kept_at = -1
        """Scrolled to here to keep rows in place: nobody has moved, so nothing is asked."""
        self._wanted_at = -1
        """Position to select once its row is known."""
        self._widths: list[int] = []
        self._base = Style()
        self._drawn: tuple[object, list[object]] = (None, [])
        """How the lines lay and what they said when they were drawn last."""

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot from now on, keeping the selected row where it is on screen."""
        before, self.snapshot = self.snapshot, snapshot
        sheet = snapshot.sheet
        if _layout(before) != _layout(snapshot):
            self._widths = [len(heading.title) for heading in sheet.headings]
        self._grow_columns()
        width = sum(self._widths) + len(_GAP) * max(len(self._widths) - 1, 0)
        self.virtual_size = Size(width, sheet.count + 1)
        self._follow(before, snapshot)
        if self._wanted_at >= 0:
            self._move_to(self._wanted_at)
        if self.follows:
            self.mark = sheet.newest
        self._redraw()

    @property
    def follows(self) -> bool:
        """Whether new rows push the others down."""
        return not self.selected and self.scroll_offset.y == 0

    @property
    def at(self) -> int:
        """Position of the selected row, else of the first visible one."""
        selected = self._selected_at()
        return selected if selected >= 0 else self.scroll_offset.y

    def go_to(self, position: int) -> None:
        """Select the row at a position."""
        self._move_to(position)

    def window(self) -> tuple[int, int]:
        """First position and number of rows worth asking for: a screenful around the visible."""
        height = max(self.size.height, 1)
        return max(self.scroll_offset.y - height, 0), 3 * height

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a region; the style below all of them is made up once, not for each."""
        self._base = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """The titles on the first line, below them the rows under the scroll position."""
        width = self.size.width
        if y == 0:
            return self._header(width)
        if y == 1 and not self.snapshot.sheet.count and self.snapshot.missing:
            return Strip([Segment(self.snapshot.missing, self._base)]).crop_extend(
                0, width, self._base
            )
        strip = self._row(self.scroll_offset.y + y - 1)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + width, self._base)

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
        self._move_to(self.snapshot.sheet.count - 1)

    def action_unselect(self) -> None:
        """To the top with nothing selected, so that new rows push the others down."""
        self.selected, self._wanted_at = 0, -1
        self.scroll_to(y=0, animate=False, force=True)
        self._moved()

    def action_details(self) -> None:
        """All about the selected row."""
        self.post_message(DetailWanted())

    def on_click(self, event: events.Click) -> None:
        """Select the row under the mouse."""
        if event.y > 0:
            self._move_to(self.scroll_offset.y + event.y - 1)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Rows that come into sight have to be asked for."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value) != self._kept_at:
            self.post_message(ViewMoved())

    def on_resize(self) -> None:
        """More rows may be visible."""
        self.post_message(ViewMoved())

    def _selected_at(self) -> int:
        """Position of the selected row in the newest snapshot, -1 if it is not there."""
        sheet = self.snapshot.sheet
        if not self.selected:
            return -1
        if self.selected in sheet.ids:
            return sheet.start + sheet.ids.index(self.selected)
        return sheet.selected_at if self.snapshot.query.chosen == self.selected else -1

    def _move_to(self, position: int) -> None:
        sheet = self.snapshot.sheet
        if not sheet.count:
            return
        position = min(max(position, 0), sheet.count - 1)
        index = position - sheet.start
        known = 0 <= index < len(sheet.ids)
        self._wanted_at = -1 if known else position
        if known:
            self.selected = sheet.ids[index]
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

    def _redraw(self) -> None:
        """Draw the lines that look different now: most stay as they are."""
        lies = self.size, self.scroll_offset, *self._widths, *_layout(self.snapshot)
        lines = self._looks()
        before, self._drawn = self._drawn, (lies, lines)
        if before[0] != lies or len(before[1]) != len(lines):
            self.refresh()
            return
        pairs = zip(before[1], lines, strict=True)
        changed = [y for y, (was, now) in enumerate(pairs) if was != now]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def _looks(self) -> list[object]:
        """What each visible line depends on, as far to the right as it can be seen."""
        sheet, top = self.snapshot.sheet, self.scroll_offset.y
        columns, left = 0, 0
        while columns < len(self._widths) and left < self.scroll_offset.x + self.size.width:
            left += self._widths[columns] + len(_GAP)
            columns += 1
        looks: list[object] = [(0 if self.follows else sheet.fresh, self.snapshot.missing)]
        for index in range(top - sheet.start, top - sheet.start + self.size.height - 1):
            known = 0 <= index < len(sheet.cells)
            is_next = index + sheet.start < sheet.count
            looks.append(
                (
                    sheet.cells[index][:columns],
                    sheet.tones[index],
                    sheet.ids[index] == self.selected,
                )
                if known
                else is_next
            )
        return looks

    def _follow(self, before: Snapshot, after: Snapshot) -> None:
        """Keep what is read in its place when other rows came or went above it."""
        top = self.scroll_offset.y
        was, now = _places(before, after, self.selected)
        if min(was, now) < 0 or not top <= was < top + self.size.height - 1:
            anchor = _id_at(before, top) if top else 0
            was, now = top, _place_of(after, anchor)
            if now < 0:
                return
        if now != was:
            self._kept_at = max(top + now - was, 0)
            self.scroll_to(y=self._kept_at, animate=False, force=True)

    def _grow_columns(self) -> None:
        """Columns only grow while a filter stands: a table that breathes cannot be read."""
        for row in self.snapshot.sheet.cells:
            for place, text in enumerate(row):
                if len(text) > self._widths[place]:
                    limit = _MAX_WIDTH if place + 1 < len(row) else _LAST_WIDTH
                    self._widths[place] = min(cell_len(text), limit)

    def _header(self, width: int) -> Strip:
        """The titles; what is new above the visible rows stands to the right."""
        sheet = self.snapshot.sheet
        titles = tuple(heading.title for heading in sheet.headings)
        style = self.get_component_rich_style("sheet-list--header")
        strip = _strip(titles, tuple(self._widths), sheet.headings, style)
        strip = strip.crop_extend(self.scroll_offset.x, self.scroll_offset.x + width, style)
        if self.follows or not sheet.fresh:
            return strip
        note = f" +{sheet.fresh} new (Esc) "[:width]
        return Strip.join([strip.crop(0, width - len(note)), Strip([Segment(note, style)])])

    def _row(self, position: int) -> Strip:
        sheet = self.snapshot.sheet
        index = position - sheet.start
        if not 0 <= index < len(sheet.cells):
            missing = position < sheet.count
            return Strip([Segment("…" if missing else "", self._base)])
        style = self._base
        tone = _TONE_CLASS.get(Tone(sheet.tones[index]))
        if tone:
            style += self.get_component_rich_style(tone)
        if sheet.ids[index] == self.selected:
            style += self.get_component_rich_style("sheet-list--cursor")
        return _strip(sheet.cells[index], tuple(self._widths), sheet.headings, style)


def _layout(snapshot: Snapshot) -> tuple[object, ...]:
    """As long as this stays, columns keep their widths."""
    query = snapshot.query
    return query.page, query.group, query.filter, len(snapshot.sheet.headings)


def _places(before: Snapshot, after: Snapshot, selected: int) -> tuple[int, int]:
    """Where the selected row was and is; -1 where that is not known."""
    same = before.query.chosen == after.query.chosen == selected != 0
    return (before.sheet.selected_at, after.sheet.selected_at) if same else (-1, -1)


def _id_at(snapshot: Snapshot, position: int) -> int:
    index = position - snapshot.sheet.start
    return snapshot.sheet.ids[index] if 0 <= index < len(snapshot.sheet.ids) else 0


def _place_of(snapshot: Snapshot, row_id: int) -> int:
    sheet = snapshot.sheet
    return sheet.start + sheet.ids.index(row_id) if row_id in sheet.ids else -1


@lru_cache(maxsize=1024)
def _strip(
    texts: tuple[str, ...], widths: tuple[int, ...], headings: tuple[Heading, ...], style: Style
) -> Strip:
    """One line of cells; the texts are plain, never markup."""
    parts = []
    for text, width, heading in zip(texts, widths, headings, strict=True):
        fitted = shortened(text, width)
        if heading.right:
            fitted = " " * (width - cell_len(fitted)) + fitted
        parts.append(set_cell_size(fitted, width))
    return Strip([Segment(_GAP.join(parts), style)])
