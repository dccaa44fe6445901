"""Every key that is bound does what its help says: all of them pressed, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from textual.binding import Binding
from textual.widgets import Static

from tests.tracer.shown import blackhole, passing
from tests.tracer.tui.desk import Desk, busy, press, rest, screen_text, settle
from tracer.tui.bindings import BINDINGS
from tracer.tui.pages import PAGES
from tracer.tui.screens import DegradedScreen, DetailScreen, HelpScreen
from tracer.tui.widgets.blackholes import Blackholes
from tracer.tui.widgets.detail_pane import DetailPane
from tracer.tui.widgets.filter_bar import FilterBar, FilterInput
from tracer.tui.widgets.find_bar import FindBar
from tracer.tui.widgets.sheet_list import SheetList
from tracer.tui.widgets.time_bar import TimeBar


class Turn(NamedTuple):
    """Keys of one binding, and what is so after them."""

    id: str
    keys: tuple[str, ...]
    holds: Callable[[Desk], bool]


def rows(desk: Desk) -> SheetList:
    return desk.app.query_one("#flows", SheetList)


def selected_at(desk: Desk) -> int:
    return rows(desk).snapshot.sheet.selected_at


def is_page(name: str) -> Callable[[Desk], bool]:
    return lambda desk: desk.asked[-1].page == name


def focused(kind: type) -> Callable[[Desk], bool]:
    return lambda desk: isinstance(desk.app.focused, kind)


def looks_back(desk: Desk) -> bool:
    return desk.asked[-1].at_ns > 0


def on_screen(kind: type) -> Callable[[Desk], bool]:
    return lambda desk: isinstance(desk.app.screen, kind)


def notified(words: str) -> Callable[[Desk], bool]:
    return lambda desk: any(words in note.message for note in desk.app._notifications)


IN_A_LIST = (
    Turn("rows.down", ("down",), lambda desk: selected_at(desk) == 0),
    Turn("rows.down", ("j",), lambda desk: selected_at(desk) == 1),
    Turn("rows.up", ("k",), lambda desk: selected_at(desk) == 0),
    Turn("rows.page-down", ("pagedown",), lambda desk: selected_at(desk) > 5),
    Turn("rows.page-up", ("pageup",), lambda desk: selected_at(desk) == 0),
    Turn("rows.last", ("G",), lambda desk: selected_at(desk) == 39),
    Turn("rows.first", ("g",), lambda desk: selected_at(desk) == 0),
    Turn("rows.right", ("right",), lambda desk: rows(desk).scroll_offset.x > 0),
    Turn("rows.left", ("left",), lambda desk: rows(desk).scroll_offset.x == 0),
    Turn("rows.details", ("enter",), on_screen(DetailScreen)),
    Turn("detail.functions", ("u",), on_screen(DetailScreen)),
    Turn("detail.copy", ("c",), lambda desk: "shop/web:http" in desk.app.clipboard),
    Turn("detail.write", ("w",), notified("Written to")),
    Turn("overlay.leave", ("q",), lambda desk: len(desk.app.screen_stack) == 1),
    Turn("rows.unselect", ("escape",), lambda desk: rows(desk).selected == 0),
)
OF_THE_APP = (
    *(Turn(f"page.{entry.page}", (entry.key,), is_page(entry.page)) for entry in (*PAGES[1:],)),
    Turn("page.translations", ("1",), is_page("translations")),
    Turn("filter", ("slash",), focused(FilterInput)),
    Turn("filter.complete", ("p", "o", "r", "tab"), lambda desk: "port" in bar(desk)),
    Turn("filter.back", ("shift+tab",), lambda desk: "port" in bar(desk)),
    Turn("filter.cancel", ("escape",), lambda desk: not desk.app.query_one(FilterBar).display),
    Turn("find", ("f",), focused(FindBar)),
    Turn("find.leave", ("1", "0", "3", "0", "enter"), focused(SheetList)),
    Turn("find.next", ("n",), lambda desk: selected_at(desk) == 29),
    Turn("find.before", ("N",), lambda desk: selected_at(desk) == 29),
    Turn("order.next", ("o",), lambda desk: desk.asked[-1].order != "age"),
    Turn("order.before", ("O",), lambda desk: desk.asked[-1].order == "age"),
    Turn("order.reverse", ("r",), lambda desk: desk.asked[-1].descending),
    Turn("group", ("b",), lambda desk: desk.asked[-1].group == "service"),
    Turn("group", ("b",) * 4, lambda desk: not desk.asked[-1].group),
    Turn("freeze", ("space",), lambda desk: desk.asked[-1].frozen),
    Turn("freeze", ("space",), lambda desk: not desk.asked[-1].frozen),
    Turn("all", ("a",), lambda desk: desk.asked[-1].all_flows),
    Turn("traffic", ("x",), lambda desk: desk.asked[-1].all_traffic),
    Turn("time.play", ("p",), looks_back),
    Turn("time.back", ("comma",), looks_back),
    Turn("time.ago", ("less_than_sign",) * 2, looks_back),
    Turn("time.before", ("left_curly_bracket",), looks_back),
    Turn("time.on", ("greater_than_sign",), looks_back),
    Turn("time.step", ("full_stop",), looks_back),
    Turn("time.mark", ("right_curly_bracket",), lambda desk: not desk.app._notifications),
    Turn("time.play", ("p",), lambda desk: not desk.asked[-1].at_ns),
    Turn("time.faster", ("right_square_bracket",), notified("the clock sets the pace")),
    Turn("time.slower", ("left_square_bracket",), notified("the clock sets the pace")),
    Turn("time.go", ("at",), focused(TimeBar)),
    Turn("time.leave", ("escape",), focused(SheetList)),
    Turn("functions", ("u",), lambda desk: desk.app._functions),
    Turn("theme", ("t",), lambda desk: "light" in desk.app.theme),
    Turn("focus.next", ("tab",), focused(DetailPane)),
    Turn("detail.page", ("enter",), on_screen(DetailScreen)),
    Turn("overlay.back", ("escape",), focused(DetailPane)),
    Turn("focus.before", ("shift+tab",), focused(SheetList)),
    Turn("focus.before", ("shift+tab",), focused(Blackholes)),
    Turn("findings.down", ("j",), lambda desk: desk.app.query_one(Blackholes).cursor_row == 1),
    Turn("findings.up", ("k",), lambda desk: desk.app.query_one(Blackholes).cursor_row == 0),
    Turn("copy", ("c",), lambda desk: "1. systemctl stop kubelet" in desk.app.clipboard),
    Turn("write", ("w",), notified("Written to")),
    Turn("findings.details", ("enter",), on_screen(DetailScreen)),
    Turn("overlay.leave", ("enter",), lambda desk: len(desk.app.screen_stack) == 1),
    Turn("degraded", ("d",), on_screen(DegradedScreen)),
    Turn("degraded.back", ("d",), lambda desk: len(desk.app.screen_stack) == 1),
    Turn("help", ("question_mark",), on_screen(HelpScreen)),
    Turn("help.back", ("question_mark",), lambda desk: len(desk.app.screen_stack) == 1),
    Turn("palette", ("ctrl+p",), lambda desk: len(desk.app.screen_stack) == 2),
)
ELSEWHERE = {"quit", "interrupt", "filter.before", "filter.after"}
"""They end the app, or need filters that were entered before; other tests press them."""


def bar(desk: Desk) -> str:
    return desk.app.query_one(FilterBar).value


async def take_turns(turns: tuple[Turn, ...], folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    pipeline = busy()
    passing(pipeline, 60.0)
    desk = Desk(pipeline, blackhole(), blackhole("shop/other"))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for turn in turns:
            await press(pilot, *turn.keys)
            await settle(pilot)
            await settle(pilot)
            assert turn.holds(desk), f"{turn.id} by {turn.keys}\n{screen_text(desk.app)}"


async def test_the_keys_of_a_list_and_of_a_whole_page(tmp_path, monkeypatch):
    await take_turns(IN_A_LIST, tmp_path, monkeypatch)


async def test_the_keys_of_the_app_its_bars_and_its_pages(tmp_path, monkeypatch):
    await take_turns(OF_THE_APP, tmp_path, monkeypatch)


def test_no_key_is_left_out():
    widgets = (SheetList, Blackholes, DetailPane, FilterInput, FindBar, TimeBar)
    screens = (DetailScreen, DetailScreen.__mro__[1], DegradedScreen, HelpScreen)
    declared = [*BINDINGS, *(b for kind in (*widgets, *screens) for b in kind.BINDINGS)]
    bound = {binding.id for binding in declared if isinstance(binding, Binding)}
    pressed = {turn.id for turn in (*IN_A_LIST, *OF_THE_APP)}
    assert bound == pressed | ELSEWHERE


async def test_the_palette_finds_a_command_and_runs_it():
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+p", *"freeze")
        await desk.app.workers.wait_for_complete()
        await rest(pilot)
        assert "Freeze: hold the list" in screen_text(desk.app)
        await pilot.press("enter")
        await settle(pilot)
        assert desk.asked[-1].frozen


async def test_letters_on_a_page_above_are_not_commands():
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "question_mark", "2", "space", "b", "o")
        await settle(pilot)
        assert isinstance(desk.app.screen, HelpScreen)
        assert desk.asked[-1].page == "translations"
        assert "esc Back" in screen_text(desk.app)
        assert "Filter" not in str(desk.app.screen.query_one("#overlay-keys", Static).render())
