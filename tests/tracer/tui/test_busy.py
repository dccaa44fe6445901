"""The capture loses nothing, whatever happens on the screen."""

from __future__ import annotations

from threading import Semaphore, Thread

from tests.builders import batch, join, mapping
from tests.tracer.shown import VIP, WEB, traced
from tests.tracer.tui.desk import press
from tracer.events import EventBatch
from tracer.session import Session
from tracer.sources import Problem
from tracer.tui.app import TracerApp
from tracer.tui.widgets.sheet_list import SheetList

RECORDS, TURNS, A_TURN, HANGING = 1500, 12, 16, 60
"""Of a batch; turns of keys, batches in each, batches behind them: more than may wait."""
KEYS = ("3", "1", "space", "b", "end", "home")


class Busy:
    """A live source that brings as many batches as it is let."""

    name = "busy"

    def __init__(self) -> None:
        clients = [f"10.244.3.8:{port}" for port in range(1000, 1000 + RECORDS)]
        self._records = join(*(mapping(1.0, client, VIP, WEB) for client in clients))
        self._left = TURNS * A_TURN + HANGING
        self.allowed = Semaphore(0)

    def problems(self) -> list[Problem]:
        return []

    def open(self) -> None:
        pass

    def read(self, timeout: float) -> EventBatch | None:
        if not self._left:
            return None
        if not self.allowed.acquire(timeout=timeout):
            return batch(until=1.0)
        self._left -= 1
        return batch(self._records, until=1.0)

    def close(self) -> None:
        pass


async def test_nothing_is_lost_while_the_screen_is_busy_resized_frozen_or_silent():
    source, pipeline = Busy(), traced()
    session = Session([source], pipeline, [], live=True, backend="bpf")
    app = TracerApp(session.request, "live")
    session.on_snapshot = app.show
    thread = Thread(target=session.run)
    async with app.run_test(size=(80, 24)) as pilot:
        thread.start()
        for turn in range(TURNS):
            source.allowed.release(A_TURN)
            await press(pilot, KEYS[turn % len(KEYS)])
            if turn % 6 == 0:
                await pilot.resize_terminal(80 + turn % 4 * 40, 24 + turn % 12)
        # From here on nothing is drawn, as behind a terminal that hangs.
        source.allowed.release(HANGING)
        thread.join(40)
        assert app.query_one("#flows", SheetList).snapshot.sheet.count
    assert not thread.is_alive()
    assert not pipeline.lost
    assert pipeline.events == (TURNS * A_TURN + HANGING) * RECORDS
