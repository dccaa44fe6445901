"""The screen over recorded incidents: what an operator sees, and with how many keys.

Each page is compared with what it looked like when somebody last approved of it: the
text, then the style of every stretch. ``VIPTRACE_APPROVE=1 pytest`` on this file writes
the screens anew; look at what has changed before they are committed.
"""

from __future__ import annotations

import asyncio
import os
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest
import textual

from scripts.screenshots import ROOT, opened
from tests.tracer.tui.desk import press, rest, screen_text, settle
from tracer.tui.app import TracerApp
from tracer.tui.pages import PAGES
from tracer.tui.screens import DetailScreen, HelpScreen
from tracer.tui.widgets.key_line import KeyLine

PCAPS = ROOT / "pcaps"
SIZES = [(80, 24), (160, 45)]
APPROVED = Path(__file__).with_name("screens")
TEXTUAL = "8.2.8"
"""Other versions draw borders, colours and scrollbars otherwise."""
WORDS = {
    "translations": "default/echo:web",
    "blackholes": "refused-by-backend",
    "services": "3 of 3 ready",
    "events": "reset sent",
    "packets": "client → VIP",
    "node": "eth0",
    "check": "Looking at this machine",
    "details": "Path",
}


def styled(app: TracerApp) -> str:
    """The screen as text; under it (line, cells, style) of every stretch that has one."""
    lines = app.screen._compositor.render_strips(app.size)
    styles = []
    for y, line in enumerate(lines):
        at = 0
        for style, parts in groupby(line, key=lambda segment: str(segment.style or "")):
            width = sum(segment.cell_length for segment in parts)
            styles.append(f"{y}:{at}-{at + width} {style}")
            at += width
    text = "\n".join(line.rstrip() for line in screen_text(app).splitlines())
    return "\n".join([text, "", *styles, ""])


@cache
def walked(size: tuple[int, int]) -> dict[str, tuple[str, str]]:
    """(text, styled text) of every page, with a flow selected, and of its details."""
    return asyncio.run(_walk(size))


async def _walk(size: tuple[int, int]) -> dict[str, tuple[str, str]]:
    app = opened(PCAPS / "refused-by-backend")
    seen = {}
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "down")
        for entry in PAGES:
            await press(pilot, entry.key)
            await settle(pilot)
            await settle(pilot)
            seen[str(entry.page)] = screen_text(app), styled(app)
        for key in ("1", "enter"):
            await press(pilot, key)
            await settle(pilot)
            await settle(pilot)
        seen["details"] = screen_text(app), styled(app)
    return seen


@pytest.mark.parametrize("size", SIZES)
def test_every_page_of_a_recording_can_be_read(size: tuple[int, int]):
    for page, (text, _) in walked(size).items():
        assert WORDS[page] in text
        assert len({len(line) for line in text.splitlines()}) == 1


@pytest.mark.skipif(
    textual.__version__ != TEXTUAL, reason=f"the screens were approved with Textual {TEXTUAL}"
)
@pytest.mark.parametrize("page", WORDS)
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x45"])
def test_every_page_looks_as_approved(size: tuple[int, int], page: str):
    approved = APPROVED / f"{page}-{size[0]}x{size[1]}.txt"
    _, styled_text = walked(size)[page]
    if os.environ.get("VIPTRACE_APPROVE"):
        approved.parent.mkdir(exist_ok=True)
        approved.write_text(styled_text, encoding="utf-8")
    assert styled_text == approved.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", SIZES)
async def test_the_guilty_service_is_named_without_any_key_and_the_steps_with_one(size):
    app = opened(PCAPS / "ipvs-external-ip-is-node-ip")
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        seen = screen_text(app)
        assert "3 CRITICAL of 3 findings" in seen
        assert "kube-system/port-forward" in seen
        assert "1. On each control-plane node" in seen
        await press(pilot, "enter")
        assert isinstance(app.screen, DetailScreen)
        assert "crictl stop" in screen_text(app)


async def test_every_theme_shows_the_same_words():
    app = opened(PCAPS / "svc-no-endpoints")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for kind in ("light", "ansi"):
            await press(pilot, "t")
            await settle(pilot)
            assert kind in app.theme
            assert "svc-no-endpoints" in screen_text(app)


async def test_the_way_names_the_kernels_functions_when_asked():
    app = opened(PCAPS / "refused-by-backend")
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        await press(pilot, "down")
        await settle(pilot)
        assert "nf_nat_setup_info()" not in screen_text(app)
        await press(pilot, "u")
        await settle(pilot)
        assert "nf_nat_setup_info()" in screen_text(app)


async def test_a_click_on_the_keys_line_does_what_the_key_does():
    app = opened(PCAPS / "svc-no-endpoints")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        line = app.query_one(KeyLine)
        await pilot.click(line, offset=(str(line.render()).index("? Help") + 1, 0))
        await rest(pilot)
        assert isinstance(app.screen, HelpScreen)
