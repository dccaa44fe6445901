"""A desk that answers the app at once, and ways to press keys and read the screen."""

from __future__ import annotations

from dataclasses import replace

from tests.tracer.shown import connect, traced
from tracer.pipeline import Pipeline
from tracer.tui.app import TracerApp
from tracer.tui.widgets.filter_bar import FilterInput
from tracer.view import View, ViewQuery

PAUSES = 50


class Desk:
    """Answers the app at once, as the session's thread would."""

    def __init__(self, pipeline: Pipeline, *findings) -> None:
        self.pipeline, self.findings, self.view = pipeline, findings, View()
        self.asked: list[ViewQuery] = []
        self.told: dict[str, object] = {}
        """Fields of every answer that the session adds, and not the view."""
        self.app = TracerApp(self.ask, "live")

    def ask(self, query: ViewQuery) -> None:
        self.asked.append(query)
        shot = self.view.answer(self.pipeline, query, "bpf", ("no packets: no CAP_NET_RAW",))
        critical = sum(finding.severity.label == "critical" for finding in self.findings)
        self.app.show(
            replace(
                shot,
                open=self.findings,
                open_count=len(self.findings),
                critical_count=critical,
                **self.told,
            )
        )


async def press(pilot, *keys: str) -> None:
    """Press keys and wait once for all of them: ``pilot.press`` waits twice for each."""
    for key in keys:
        pilot.app.simulate_key(key)
    await rest(pilot)


async def enter_filter(pilot, text: str) -> None:
    """Open the filter bar, write, confirm."""
    await press(pilot, "slash")
    pilot.app.query_one(FilterInput).value = text
    await press(pilot, "enter")


async def settle(pilot) -> None:
    """One question is asked and answered, by what is known now."""
    await rest(pilot)
    pilot.app._tick()
    await rest(pilot)


async def rest(pilot) -> None:
    """Until no message waits: to ``pilot.pause`` a process without a processor looks idle."""
    for _ in range(PAUSES):
        await pilot.pause()
        if not any(map(_busy, (pilot.app, *pilot.app.screen.walk_children(with_self=True)))):
            return
    raise AssertionError("the screen does not come to rest")


def _busy(node) -> bool:
    return bool(node.message_queue_size or node._next_callbacks)


def drawn(widget) -> str:
    """What a widget shows, line by line."""
    return "\n".join(
        "".join(segment.text for segment in widget.render_line(y)).rstrip()
        for y in range(widget.size.height)
    )


def screen_text(app: TracerApp) -> str:
    """The whole screen as text."""
    width, height = app.size
    lines = app.screen._compositor.render_strips(app.size)
    assert len(lines) == height
    return "\n".join("".join(segment.text for segment in line)[:width] for line in lines)


def busy(count: int = 40) -> Pipeline:
    pipeline = traced()
    connect(pipeline, 1.0, count=count, port=1001)
    return pipeline
