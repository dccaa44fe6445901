from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.shown import blackhole
from tests.tracer.tui.desk import Desk, busy, press, rest, settle
from tracer.tui.search import WINDOW, Search
from tracer.tui.widgets.blackholes import Blackholes
from tracer.tui.widgets.find_bar import FindBar
from tracer.tui.widgets.sheet_list import SheetList
from tracer.view import Heading, Line, sheet_of


def found(names: list[str], text: str, origin: int, back: bool = False) -> int:
    """Where a search over these rows ends."""
    lines = [Line((place,), (name,)) for place, name in enumerate(names)]
    search = Search(text, origin, len(lines), back)
    while not search.exhausted:
        position = search.look(sheet_of((Heading("Name"),), lines, *search.window()))
        if position >= 0:
            return position
    return -1


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "B", "c"]), min_size=1, max_size=30),
    st.integers(0, 29),
    st.booleans(),
)
def test_the_next_row_round_the_table_is_found(names: list[str], origin: int, back: bool):
    origin %= len(names)
    order = [(origin + (-step if back else step)) % len(names) for step in range(len(names))]
    expected = next((place for place in order if names[place] == "B"), -1)
    assert found(names, "b", origin, back) == expected


def test_more_rows_than_a_window_holds_are_looked_at():
    names = ["x"] * (2 * WINDOW) + ["wanted"] + ["x"] * WINDOW
    assert found(names, "WANTED", 5) == 2 * WINDOW
    assert found(names, "wanted", 5, back=True) == 2 * WINDOW
    assert found(names, "nothing", 5) == -1


async def test_the_cursor_moves_while_a_text_is_typed_and_n_goes_on():
    desk = Desk(busy(500))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        flows = desk.app.query_one("#flows", SheetList)
        await press(pilot, "f")
        desk.app.query_one(FindBar).value = ":1250"
        for _ in range(4):
            await settle(pilot)
        chosen = flows.snapshot.sheet.ids.index(flows.selected)
        assert flows.snapshot.sheet.cells[chosen][0] == "10.244.3.8:1250"
        await press(pilot, "enter")
        assert not desk.app.query_one(FindBar).display
        desk.app._found = "10.244.3.8:14"
        seen = []
        for key in ("n", "n", "N"):
            await press(pilot, key)
            for _ in range(3):
                await settle(pilot)
            seen.append(flows.at)
        assert seen[0] == seen[2] != seen[1]


async def test_what_is_not_there_is_told():
    desk = Desk(busy(5))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "f")
        desk.app.query_one(FindBar).value = "nowhere"
        for _ in range(3):
            await settle(pilot)
        assert [note.message for note in desk.app._notifications] == ["Not found: nowhere"]


async def test_findings_are_looked_through_too():
    desk = Desk(busy(5), *(blackhole(f"shop/s{number}") for number in ("1", "2-x", "12-x", "3")))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "2", "f")
        await settle(pilot)
        desk.app.query_one(FindBar).value = "SHOP/S2"
        await rest(pilot)
        findings = desk.app.query_one(Blackholes)
        assert findings.cursor_row == 1
        desk.app.query_one(FindBar).value = "-X"
        await rest(pilot)
        await press(pilot, "enter")
        seen = []
        for key in ("n", "n", "N"):
            await press(pilot, key)
            seen.append(findings.cursor_row)
        assert seen == [2, 1, 2]
        desk.app.query_one(FindBar).value = "nowhere"
        await rest(pilot)
        assert [note.message for note in desk.app._notifications] == ["Not found: nowhere"]
