"""Pages over a real pipeline: the keys that lead to them, and what they show."""

from __future__ import annotations

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP

from tests.builders import batch, packet
from tests.tracer.shown import VIP, blackhole, connect, traced
from tests.tracer.tui.desk import Desk, busy, enter_filter, press, rest, screen_text, settle
from tracer.events import EventBatch, Loss, Origin, PacketBytes
from tracer.tui.pages import PAGES
from tracer.tui.widgets.blackholes import Blackholes
from tracer.tui.widgets.page_tabs import PageTabs
from tracer.tui.widgets.sheet_list import SheetList
from tracer.tui.widgets.trend_line import TrendLine
from tracer.view import Line, Standing
from tracer.view.trends import Trends


def packets_of(data: bytes) -> EventBatch:
    """One packet with these bytes, from the client to the virtual address."""
    behind = PacketBytes(
        np.frombuffer(data, dtype=np.uint8),
        np.array([0, len(data)], dtype=np.int64),
        np.array([len(data)], dtype=np.uint32),
        np.array([101], dtype=np.uint16),
    )
    seen = packet(1.0, "10.244.3.8:40000", VIP, "S")
    return batch(seen, until=2.0, origin=Origin.PACKETS, packets=behind)


def rows(desk: Desk, name: str) -> SheetList:
    return desk.app.query_one(f"#{name}", SheetList)


async def test_every_page_has_a_digit_and_a_tab_that_fits():
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        for entry in reversed(PAGES):
            await press(pilot, entry.key)
            await settle(pilot)
            assert desk.asked[-1].page is entry.page
            assert f"{entry.key} {entry.title}" in screen_text(desk.app)


async def test_a_click_on_a_tab_shows_its_page():
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.click(PageTabs, offset=(18, 0))
        await settle(pilot)
        assert desk.asked[-1].page is PAGES[1].page


async def test_blackholes_have_the_whole_height_and_the_keys_at_once():
    desk = Desk(busy(), *(blackhole(f"shop/s{number}") for number in range(12)))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "2")
        await settle(pilot)
        findings = desk.app.query_one(Blackholes)
        assert findings.size.height > 9
        await press(pilot, "down", "down")
        await settle(pilot)
        assert findings.chosen is not None
        assert findings.chosen.subject.service == "shop/s2"
        assert "CRITICAL  shop/s2" in screen_text(desk.app)


async def test_blackholes_say_that_a_filter_hides_all_of_them():
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "2")
        await settle(pilot)
        assert "No blackholes found so far." in screen_text(desk.app)
        await enter_filter(pilot, "port=9")
        await settle(pilot)
        assert desk.asked[-1].filter == "port=9"
        assert "No finding passes the filter." in screen_text(desk.app)


async def test_coming_back_to_a_page_finds_its_selection():
    desk = Desk(busy())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "down", "down")
        chosen = rows(desk, "flows").selected
        await press(pilot, "2", "1")
        await settle(pilot)
        assert desk.asked[-1].selected == chosen


async def test_flows_are_counted_and_a_group_opened():
    desk = Desk(busy(7))
    async with desk.app.run_test(size=(120, 24)) as pilot:
        await press(pilot, "b")
        await settle(pilot)
        assert "shop/web:http" in screen_text(desk.app)
        assert rows(desk, "groups").snapshot.sheet.count == 1
        await press(pilot, "down", "enter")
        await settle(pilot)
        assert desk.asked[-1].filter == 'service="shop/web:http"'
        assert rows(desk, "flows").snapshot.sheet.count == 7
        await press(pilot, "b", "b")
        await settle(pilot)
        assert desk.asked[-1].group == "client"


async def test_what_is_new_is_told_to_who_has_scrolled_away():
    desk = Desk(busy(60))
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        flows = rows(desk, "flows")
        flows.scroll_to(y=20, animate=False, force=True)
        await settle(pilot)
        top = flows.snapshot.sheet.ids[20 - flows.snapshot.sheet.start]
        connect(desk.pipeline, 9.0, count=5, port=5001)
        await settle(pilot)
        assert "+5 new" in screen_text(desk.app)
        assert flows.scroll_offset.y == 25
        assert flows.snapshot.sheet.ids[25 - flows.snapshot.sheet.start] == top
        await press(pilot, "escape")
        await settle(pilot)
        assert flows.follows
        assert "new" not in screen_text(desk.app).splitlines()[4]


async def test_the_packets_of_the_selected_flow_are_dissected():
    pipeline = traced()
    desk = Desk(pipeline)
    data = bytes(IP(src="10.244.3.8", dst="10.96.0.10") / TCP(sport=40000, dport=80, flags="S"))
    seen = packets_of(data)
    connect(pipeline, 1.0)
    desk.view.observe(pipeline, pipeline.feed(seen))
    async with desk.app.run_test(size=(180, 60)) as pilot:
        await settle(pilot)
        await press(pilot, "down", "5")
        await settle(pilot)
        await press(pilot, "down")
        await settle(pilot)
        seen = screen_text(desk.app)
        for words in ("of flow tcp 10.244.3.8:40000", "client → VIP", "###[ IP ]###", "0000  45"):
            assert words in seen
        await press(pilot, "x")
        await settle(pilot)
        assert desk.asked[-1].all_traffic


async def test_an_empty_page_says_why():
    desk = Desk(traced())
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "5")
        await settle(pilot)
        assert "No packets: none were captured." in screen_text(desk.app)


async def test_a_frozen_time_line_stands_still_and_goes_on():
    desk = Desk(traced())
    async with desk.app.run_test(size=(120, 24)) as pilot:
        await press(pilot, "4", "space")
        desk.view.observe(desk.pipeline, connect(desk.pipeline, 1.0))
        await settle(pilot)
        held = desk.app.query_one("#events", SheetList).snapshot.sheet.count
        desk.view.observe(desk.pipeline, connect(desk.pipeline, 2.0, port=7))
        await settle(pilot)
        assert desk.app.query_one("#events", SheetList).snapshot.sheet.count == held
        await press(pilot, "space")
        await settle(pilot)
        assert desk.app.query_one("#events", SheetList).snapshot.sheet.count > held


async def test_this_machine_is_looked_at_when_its_page_is_opened():
    looked: list[bool] = []
    desk = Desk(traced())
    desk.app._check = lambda: looked.append(True)
    async with desk.app.run_test(size=(160, 40)) as pilot:
        await press(pilot, "7")
        await settle(pilot)
        assert looked == [True]
        assert "Looking at this machine" in screen_text(desk.app)
        desk.app.checked((Line(("fact", "BTF"), ("BTF", "no", "none", "slow", "boot it")),))
        await settle(pilot)
        await press(pilot, "down")
        await settle(pilot)
        assert "What to do  boot it" in screen_text(desk.app)


@pytest.mark.parametrize(
    ("most", "words"),
    [(0.0, "max 0"), (0.1234, "max 0.123"), (99.96, "max 100"), (40_000, "40.0k")],
)
def test_the_largest_value_of_a_chart_is_written_plainly(most: float, words: str):
    line = TrendLine()
    line.trends = Trends(flows=(0.0, most))
    assert words in str(line.render())


async def test_a_tall_screen_has_sparklines_and_a_short_one_leaves_them_out():
    desk = Desk(busy())
    async with desk.app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert "new/s" in screen_text(desk.app)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert "new/s" not in screen_text(desk.app)


async def test_a_tiny_screen_keeps_its_lines_for_rows():
    desk = Desk(busy(), *(blackhole(f"shop/s{number}") for number in range(12)))
    async with desk.app.run_test(size=(40, 10)) as pilot:
        await settle(pilot)
        seen = screen_text(desk.app)
        assert "shop/s0" in seen
        assert "10.244.3.8:1001" in seen
        await press(pilot, "2")
        await settle(pilot)
        assert "shop/s3" in screen_text(desk.app)
        await press(pilot, "enter")
        await rest(pilot)
        assert "What to do" in screen_text(desk.app)


async def test_the_facts_of_a_run_are_in_sight_on_eighty_columns():
    desk = Desk(busy())
    desk.told = {
        "standing": Standing(names="API 3s", recording="node.pcapng 12.3MB"),
        "degraded": ("no packets: why", "another"),
        "lost": Loss(kernel=7),
    }
    async with desk.app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        first, second = screen_text(desk.app).splitlines()[:2]
        for words in ("● node.pcapng 12.3MB", "worker-1", "ipvs", "bpf", "API 3s"):
            assert words in first
        for words in ("events/s", "packets/s", "lost 7 events", "degraded 2 (d): no pa"):
            assert words in second
