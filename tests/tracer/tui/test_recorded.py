"""The screen over recorded incidents: what an operator sees, and with how many keys."""

from __future__ import annotations

import pytest

from scripts.screenshots import ROOT, opened
from tests.tracer.tui.desk import press, screen_text, settle
from tracer.tui.pages import PAGES
from tracer.tui.screens import DetailScreen

PCAPS = ROOT / "pcaps"
SIZES = [(80, 24), (160, 45)]


@pytest.mark.parametrize("size", SIZES)
async def test_the_guilty_service_is_named_without_any_key_and_the_steps_with_one(size):
    app = opened(PCAPS / "ipvs-external-ip-is-node-ip")
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        seen = screen_text(app)
        assert "3 CRITICAL of 3 findings" in seen
        assert "kube-system/port-forward" in seen
        assert "1. On each control-plane node" in seen
        await press(pilot, "2")
        await settle(pilot)
        await press(pilot, "enter")
        assert isinstance(app.screen, DetailScreen)
        assert "crictl stop" in screen_text(app)


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_of_a_recording_can_be_read(size):
    app = opened(PCAPS / "refused-by-backend")
    words = {
        "translations": "default/echo:web",
        "blackholes": "refused-by-backend",
        "services": "3 of 3 ready",
        "events": "reset sent",
        "packets": "client → VIP",
        "node": "eth0",
        "check": "Looking at this machine",
    }
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "down")
        for entry in PAGES:
            await press(pilot, entry.key)
            await settle(pilot)
            seen = screen_text(app)
            assert words[entry.page] in seen
            assert len({len(line) for line in seen.splitlines()}) == 1


async def test_every_theme_shows_the_same_words():
    app = opened(PCAPS / "svc-no-endpoints")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for kind in ("light", "ansi"):
            await press(pilot, "t")
            await settle(pilot)
            assert kind in app.theme
            assert "svc-no-endpoints" in screen_text(app)
