"""The progress bar: late, short, and gone at the end."""

from __future__ import annotations

import io
from itertools import count

from tests.builders import batch
from tracer.commands.progress import ProgressBar
from tracer.pipeline import Pipeline


def drawn(share: float, steps: int) -> str:
    out, pipeline, seconds = io.StringIO(), Pipeline(), count(0, 0.15)
    bar = ProgressBar(lambda: share, out, lambda: next(seconds))
    for _ in range(steps):
        bar.write(pipeline, pipeline.feed(batch(until=1)))
    bar.close(pipeline, {})
    return out.getvalue()


def test_what_is_read_quickly_shows_nothing():
    assert drawn(0.5, 5) == ""


def test_the_bar_is_drawn_now_and_then_and_taken_away():
    shown = drawn(0.5, 12).split("\r")
    assert shown[1] == f"[{'#' * 15}{'.' * 15}]  50% 0 packets "
    assert 2 <= len(shown) - 2 <= 4
    assert shown[-1] == "\x1b[K"


def test_a_pipe_has_no_share():
    assert drawn(0.0, 12) == ""
