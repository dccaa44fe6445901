"""Time: typed moments, the drawn line, and keys in a recording and live."""

from __future__ import annotations

import pytest

from tests.builders import at
from tests.tracer.shown import connect, end, traced
from tests.tracer.tui.desk import Desk, press, rest, screen_text, settle
from tracer.diagnosis.finding import Severity
from tracer.errors import InputError
from tracer.tui.app import TracerApp
from tracer.tui.playhead import moment
from tracer.tui.widgets.sheet_list import SheetList
from tracer.tui.widgets.tape_line import TapeLine, state_text, track
from tracer.tui.widgets.time_bar import TimeBar
from tracer.view import Mark, Snapshot, Tape, ViewQuery

TAPE = Tape(at(0), at(100), at(50), live=False)
"""It begins at 22:13:20 UTC."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("22:14:00", 40),
        ("22:13:27.5", 7.5),
        ("22:14", 40),
        ("90s", 90),
        ("1.5m", 90),
        ("250ms", 0.25),
        ("12", 12),
        ("-5s", 45),
        ("+5s", 55),
        ("25%", 25),
    ],
)
def test_a_moment_is_typed_as_people_say_it(text: str, seconds: float):
    assert moment(text, TAPE) == at(seconds)


def test_behind_midnight_a_time_is_of_the_next_day():
    night = Tape(at(0), at(4 * 3600), at(0), live=False)
    assert moment("01:00:00", night) == at(2 * 3600 + 46 * 60 + 40)


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs", "1e9", "[red]1[/]", "\x1b[2J"])
def test_what_is_no_time_is_explained(text: str):
    with pytest.raises(InputError, match=r"no time.\n.*\nFor example"):
        moment(text, TAPE)


def test_the_gravest_finding_of_a_cell_is_drawn_and_the_position_reversed():
    marks = (
        Mark(at(20), Severity.CRITICAL),
        Mark(at(20), Severity.INFO),
        Mark(at(100), Severity.WARNING),
    )
    cells = track(Tape(at(0), at(100), at(50), marks=marks), 11)
    assert "".join(cell for cell, _ in cells) == "━━✗━━◆────!"
    on_mark = track(Tape(at(0), at(100), at(20), marks=marks), 11)[2]
    assert on_mark == ("✗", "bold reverse")
    assert len(track(Tape(), 8)) == 8


def test_what_time_does_is_a_word():
    assert state_text(TAPE) == "▶ 1×"
    assert state_text(Tape(live=False, playing=False, pace=0.0)) == "❚❚ max"
    assert state_text(Tape(read=0.4, live=False)) == "reading 40%"
    assert state_text(Tape(at(0), at(9), at(4), playing=False)) == "❚❚ 5.0s ago"
    assert state_text(Tape()) == "● live"


class Wishes:
    """A player that only takes notes."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []

    def toggle(self) -> None:
        self.taken.append(("toggle", 0))

    def step(self, by: int) -> None:
        self.taken.append(("step", by))

    def faster(self, by: int) -> None:
        self.taken.append(("faster", by))

    def seek(self, at_ns: int) -> None:
        self.taken.append(("seek", round((at_ns - at(0)) / 1e9)))


async def test_the_keys_of_a_recording():
    wishes = Wishes()
    marks = (Mark(at(20), Severity.CRITICAL), Mark(at(80), Severity.WARNING))
    tape = Tape(at(0), at(100), at(50), marks=marks, live=False, rewinds=False)
    app = TracerApp(lambda _: None, "replay x", player=wishes)
    async with app.run_test(size=(100, 24)) as pilot:
        app.show(Snapshot(ViewQuery(), tape=tape))
        await rest(pilot)
        keys = (
            *("p", "full_stop", "comma", "right_square_bracket", "left_square_bracket"),
            *("greater_than_sign", "less_than_sign", "right_curly_bracket", "left_curly_bracket"),
        )
        await press(pilot, *keys)
        assert wishes.taken == [
            *(("toggle", 0), ("step", 1), ("step", -1), ("faster", 1), ("faster", -1)),
            *(("seek", 55), ("seek", 45), ("seek", 80), ("seek", 20)),
        ]
        assert "cannot be read again" in next(iter(app._notifications)).message
        await press(pilot, "at")
        app.query_one(TimeBar).value = "nonsense"
        await press(pilot, "enter")
        assert app.query_one(TimeBar).display
        app.query_one(TimeBar).value = "75%"
        await press(pilot, "enter")
        await rest(pilot)
        assert wishes.taken[-1] == ("seek", 75)
        assert not app.query_one(TimeBar).display
        await pilot.click(TapeLine, offset=(99 - len(" 50s of 1m40s") - 1, 0))
        assert wishes.taken[-1][1] > 90
        assert "▶ 1× 22:14:10.000 ━" in screen_text(app)


async def test_live_one_can_look_back_and_return():
    desk = Desk(traced())
    for seconds in (1.0, 5.0, 9.0):
        update = connect(desk.pipeline, seconds, port=40000 + round(seconds))
        desk.view.observe(desk.pipeline, update)
    end(desk.pipeline, 10.0, port=40001)
    flows = desk.app.query_one
    async with desk.app.run_test(size=(100, 40)) as pilot:
        await settle(pilot)
        assert "● live" in screen_text(desk.app)
        await press(pilot, "at")
        desk.app.query_one(TimeBar).value = "-4s"
        await press(pilot, "enter")
        await settle(pilot)
        await settle(pilot)
        sheet = flows("#flows", SheetList).snapshot.sheet
        assert [cells[0] for cells in sheet.cells] == ["10.244.3.8:40005", "10.244.3.8:40001"]
        assert "closed" not in [cells[4] for cells in sheet.cells]
        assert "4.0s ago" in screen_text(desk.app)
        connect(desk.pipeline, 12.0, port=7)
        await press(pilot, "4")
        await settle(pilot)
        assert flows("#events", SheetList).snapshot.sheet.count == 2
        await press(pilot, "1", "comma")
        await settle(pilot)
        assert desk.asked[-1].at_ns == at(5)
        await press(pilot, "p")
        await settle(pilot)
        assert flows("#flows", SheetList).snapshot.sheet.count == 4
        assert "closed" in [cells[4] for cells in flows("#flows", SheetList).snapshot.sheet.cells]
