"""The screen over a real pipeline: keys pressed, what is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Static

from tests.builders import at
from tests.tracer.shown import HOSTILE, answer, blackhole, cluster, connect, traced
from tests.tracer.tui.desk import Desk, busy, drawn, enter_filter, press, rest, screen_text, settle
from tracer.events import Flag
from tracer.pipeline import Pipeline
from tracer.tui.app import TracerApp
from tracer.tui.pages import PAGES
from tracer.tui.screens import DegradedScreen, DetailScreen, HelpScreen
from tracer.tui.widgets.blackholes import Blackholes
from tracer.tui.widgets.detail_pane import DetailPane, describe
from tracer.tui.widgets.filter_bar import FilterBar, FilterInput
from tracer.tui.widgets.sheet_list import SheetList
from tracer.tui.widgets.status_line import StatusLine
from tracer.view import View, ViewQuery


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_a_critical_finding_is_seen_at_once_with_the_guilty_service(size):
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test(size=size) as pilot:
        await settle(pilot)
        seen = screen_text(desk.app)
        for words in (
            "CRITICAL",
            "kube-system/port-forward",
            "What to do",
            "1. systemctl stop kubelet",
        ):
            assert words in seen
        for words in ("worker-1", "ipvs", "backend bpf", "lost 0", "degraded", "10.244.3.8:10"):
            assert words in seen


async def test_enter_on_a_finding_shows_every_step_and_escape_goes_back():
    steps = tuple(f"step number {place}" for place in range(40))
    desk = Desk(busy(), blackhole(remedy=steps))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "shift+tab", "enter")
        assert isinstance(desk.app.screen, DetailScreen)
        assert "1. step number 0" in screen_text(desk.app)
        await press(pilot, "end")
        await rest(pilot)
        assert "40. step number 39" in str(desk.app.screen.query(Static).first().content)
        await press(pilot, "escape")
        assert not isinstance(desk.app.screen, DetailScreen)


async def test_arrows_select_a_flow_and_its_details_follow():
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "down", "down")
        await settle(pilot)
        chosen = desk.app.query_one("#flows", SheetList).selected
        assert chosen == desk.asked[-1].selected != 0
        assert "shop/web:http (ClusterIP)" in screen_text(desk.app)
        await press(pilot, "enter")
        assert isinstance(desk.app.screen, DetailScreen)


async def test_the_selection_sticks_to_the_flow_when_new_ones_come():
    desk = Desk(busy(5))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "down", "down", "down")
        await settle(pilot)
        flows = desk.app.query_one("#flows", SheetList)
        chosen = flows.selected
        connect(desk.pipeline, 9.0, count=30, port=5001)
        await settle(pilot)
        assert flows.selected == chosen
        assert flows.snapshot.sheet.selected_at == 32
        assert flows.scroll_offset.y == 36 - flows.size.height
        await press(pilot, "escape")
        assert flows.selected == 0


async def test_a_long_list_is_walked_to_its_end_and_back():
    desk = Desk(busy(500))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        flows = desk.app.query_one("#flows", SheetList)
        await press(pilot, "end")
        await settle(pilot)
        await settle(pilot)
        assert flows.snapshot.sheet.ids[-1] == flows.selected
        assert flows.scroll_offset.y + flows.size.height - 1 == 500
        assert "…" not in drawn(flows)
        await press(pilot, "home")
        await settle(pilot)
        assert flows.scroll_offset.y == 0
        assert flows.selected == flows.snapshot.sheet.ids[0]


async def test_texts_are_asked_for_around_what_is_visible_only():
    desk = Desk(busy(500))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        flows = desk.app.query_one("#flows", SheetList)
        assert desk.asked[-1].height <= 3 * flows.size.height
        assert len(flows.snapshot.sheet.cells) < 100


async def test_questions_wait_for_their_answer():
    asked: list[ViewQuery] = []
    app = TracerApp(asked.append, "live")
    async with app.run_test() as pilot:
        await press(pilot, "o", "r", "o")
        app._tick()
        assert len(asked) == 1


async def test_order_and_its_direction():
    desk = Desk(busy())
    async with desk.app.run_test() as pilot:
        await press(pilot, "o")
        await settle(pilot)
        first = desk.asked[-1]
        await press(pilot, "O", "r")
        await settle(pilot)
        last = desk.asked[-1]
        assert (last.order, last.descending) == ("age", True)
        assert first.order != "age"


async def test_space_freezes_and_lets_go():
    desk = Desk(busy(3))
    async with desk.app.run_test() as pilot:
        await press(pilot, "space")
        await settle(pilot)
        connect(desk.pipeline, 2.0, port=5001)
        await settle(pilot)
        assert desk.app.query_one("#flows", SheetList).snapshot.sheet.count == 3
        assert "FROZEN" in screen_text(desk.app)
        await press(pilot, "space")
        await settle(pilot)
        assert desk.app.query_one("#flows", SheetList).snapshot.sheet.count == 4


async def test_a_filter_is_typed_applied_and_cancelled():
    desk = Desk(busy())
    async with desk.app.run_test() as pilot:
        await settle(pilot)
        await enter_filter(pilot, "port=1003")
        await settle(pilot)
        assert desk.app.query_one("#flows", SheetList).snapshot.sheet.count == 1
        assert "filter port=1003" in screen_text(desk.app)
        await press(pilot, "slash")
        desk.app.query_one(FilterInput).value = "port=7"
        await press(pilot, "escape")
        await settle(pilot)
        assert desk.asked[-1].filter == "port=1003"
        assert not desk.app.query_one(FilterBar).display


async def test_a_wrong_filter_is_explained_and_not_applied():
    desk = Desk(busy())
    async with desk.app.run_test() as pilot:
        await settle(pilot)
        await enter_filter(pilot, "port=")
        await settle(pilot)
        assert desk.asked[-1].filter == ""
        assert "Filter, column 6" in str(desk.app.query_one("#filter-hint", Static).content)
        assert desk.app.query_one(FilterBar).display


async def test_letters_typed_into_the_filter_are_not_commands():
    desk = Desk(busy())
    async with desk.app.run_test() as pilot:
        await pilot.press("slash", "a", "space", "q", "question_mark")
        await settle(pilot)
        assert desk.app.query_one(FilterBar).value == "a q?"
        assert not desk.asked[-1].frozen
        assert desk.app.is_running


async def test_help_is_made_from_the_real_bindings():
    desk = Desk(busy())
    async with desk.app.run_test(size=(100, 130)) as pilot:
        await press(pilot, "question_mark")
        await rest(pilot)
        assert isinstance(desk.app.screen, HelpScreen)
        seen = screen_text(desk.app)
        for words in (
            "/  Filter",
            "space  Hold the list",
            "up, k  Row up",
            "On a whole page",
            "q  Quit",
            "Backend  The",
        ):
            assert words in seen
        await press(pilot, "escape")
        assert not isinstance(desk.app.screen, HelpScreen)


async def test_what_is_degraded_is_listed():
    desk = Desk(busy())
    async with desk.app.run_test() as pilot:
        await settle(pilot)
        await press(pilot, "d")
        await rest(pilot)
        assert isinstance(desk.app.screen, DegradedScreen)
        assert "- no packets: no CAP_NET_RAW" in screen_text(desk.app)


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+c", 130)])
async def test_leaving(key, code):
    desk = Desk(busy())
    async with desk.app.run_test() as pilot:
        await press(pilot, key)
    assert desk.app.return_value == code


async def test_the_end_of_the_input_leaves_the_screen_standing():
    desk = Desk(busy())
    async with desk.app.run_test() as pilot:
        desk.app.end(None)
        await settle(pilot)
        assert "(ended)" in screen_text(desk.app)
        assert desk.app.query_one(StatusLine).ended


async def test_a_failure_of_the_session_ends_the_screen():
    desk, failure = Desk(busy()), RuntimeError("x")
    async with desk.app.run_test() as pilot:
        desk.app.end(failure)
        await rest(pilot)
    assert desk.app.failure is failure


async def test_a_quiet_table_of_findings_is_not_drawn_again():
    desk = Desk(busy(), blackhole(), blackhole("shop/other"))
    async with desk.app.run_test() as pilot:
        await settle(pilot)
        findings = desk.app.query_one(Blackholes)
        findings.move_cursor(row=1)
        await rest(pilot)
        desk.findings = (blackhole("shop/new"), *desk.findings)
        await settle(pilot)
        assert findings.row_count == 3
        assert findings.chosen is not None
        assert findings.chosen.subject.service == "shop/other"


def named(name: str) -> Pipeline:
    pipeline = traced(cluster(pod=name, client=name))
    connect(pipeline, 1.0, flags=Flag.REPLIED)
    return pipeline


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_only_text_in_details(name: str):
    detail = View().answer(named(name), ViewQuery(selected=1)).detail
    finding = blackhole(service=f"shop/{name}", summary=name, remedy=(f"delete {name}",))
    for told in (describe(detail), describe(finding)):
        assert all(line.isprintable() for line in told.plain.split("\n"))
        assert not told.markup.count("click") or "\\[" in told.markup


async def test_hostile_names_are_only_text_on_screen():
    pipeline = traced()
    for port, name in enumerate(HOSTILE.values(), 1001):
        pipeline.set_cluster(cluster(pod=name, client=name), at(port))
        connect(pipeline, port + 0.5, port=port, flags=Flag.REPLIED)
    desk = Desk(pipeline, *(blackhole(service=f"shop/{name}") for name in HOSTILE.values()))
    async with desk.app.run_test(size=(200, 50)) as pilot:
        await settle(pilot)
        await press(pilot, "down")
        await settle(pilot)
        seen = screen_text(desk.app)
        assert all(line.isprintable() for line in seen.split("\n"))
        assert "[red]evil" in seen
        assert "\\u202e" in seen
        for entry in PAGES:
            await press(pilot, entry.key)
            await settle(pilot)
            assert all(line.isprintable() for line in screen_text(desk.app).split("\n"))


async def test_without_colours_every_word_is_still_there(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test() as pilot:
        await settle(pilot)
        assert desk.app.no_color
        assert "CRITICAL" in screen_text(desk.app)


def test_a_finding_is_described_with_its_steps_before_its_evidence():
    told = describe(blackhole(consequence_of="x", open=False)).plain
    assert told.startswith("CLOSED  kube-system/port-forward\n")
    assert told.index("1. systemctl") < told.index("kernel: kube-ipvs0 holds")
    assert "A consequence of x." in told


async def test_details_are_those_of_the_table_in_use():
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "down")
        answer(desk.pipeline, 2.0, port=1001)
        await settle(pilot)
        pane = desk.app.query_one(DetailPane)
        assert "shop/web:http (ClusterIP)" in str(pane.query_one(Static).content)
        await press(pilot, "shift+tab")
        await settle(pilot)
        assert "What to do" in str(pane.query_one(Static).content)


async def test_only_lines_that_look_different_are_drawn_again(monkeypatch: pytest.MonkeyPatch):
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        flows = desk.app.query_one("#flows", SheetList)
        painted: list[tuple[int, ...]] = []
        monkeypatch.setattr(
            flows, "refresh", lambda *regions, **_: painted.append(tuple(at.y for at in regions))
        )
        shot = flows.snapshot
        first, *others = shot.sheet.cells
        unseen = tuple((*cells[:-1], "x") for cells in shot.sheet.cells)
        flows.show(replace(shot, sheet=replace(shot.sheet, cells=unseen)))
        assert painted == []
        cells = (first, ("changed", *others[0][1:]), *others[1:])
        flows.show(replace(shot, sheet=replace(shot.sheet, cells=cells)))
        assert painted == [(2,)]
        longer = (("wider than any before it", *first[1:]), *others)
        flows.show(replace(shot, sheet=replace(shot.sheet, cells=longer)))
        assert set(painted[1:]) == {()}
