from __future__ import annotations

from textual.widgets import Static

from tests.tracer.tui.desk import Desk, busy, enter_filter, press, rest, settle
from tracer.tui.widgets.filter_bar import FilterBar, FilterInput


def hint(desk: Desk) -> str:
    return str(desk.app.query_one("#filter-hint", Static).content)


def line(desk: Desk) -> str:
    return desk.app.query_one(FilterInput).value


async def test_tab_completes_terms_and_names_seen():
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "slash")
        await settle(pilot)
        await press(pilot, "s", "e", "tab")
        assert line(desk) == "service="
        await press(pilot, "w")
        assert "service=shop/web" in hint(desk)
        await press(pilot, "tab", "enter")
        await settle(pilot)
        assert desk.asked[-1].filter == "service=shop/web"
        assert not desk.asked[-1].names


async def test_tab_goes_round_through_what_could_follow():
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "slash")
        await press(pilot, "p", "tab")
        assert line(desk) == "pod="
        await press(pilot, "tab")
        assert line(desk) == "port="
        await press(pilot, "shift+tab")
        assert line(desk) == "pod="


async def test_filters_entered_before_come_back():
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await enter_filter(pilot, "port=1001")
        await enter_filter(pilot, "tcp")
        await press(pilot, "slash")
        desk.app.query_one(FilterInput).value = "unfinished"
        await press(pilot, "up", "up", "up")
        assert line(desk) == "port=1001"
        await press(pilot, "down", "down")
        assert line(desk) == "unfinished"


async def test_what_is_wrong_is_pointed_at_in_place():
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "slash")
        desk.app.query_one(FilterInput).value = "tcp foo=1 and"
        await rest(pilot)
        mark, text, *_ = hint(desk).splitlines()
        assert mark.index("▲") == 4
        assert text.startswith("Filter, column 5: 'foo' is no property")
        await press(pilot, "enter")
        assert desk.app.query_one(FilterBar).display
        await press(pilot, "escape")
        assert not desk.app.query_one(FilterBar).display
