"""A progress bar on standard error, for captures that take longer to read."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from tracer.pipeline import Pipeline, Update

PATIENCE_S = 1.0
"""Nothing is shown of what is read faster."""
_EVERY_S = 0.2
_WIDTH = 30


def has_room(form: str) -> bool:
    """Whether a bar disturbs nothing: lines on the same terminal would be torn."""
    quiet = form == "none" or (form in ("text", "json") and not sys.stdout.isatty())
    return quiet and sys.stderr.isatty()


class ProgressBar:
    """A sink that shows how much of the input has been read."""

    def __init__(
        self,
        share: Callable[[], float],
        file: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``share``: 0 to 1; 0 where it cannot be told."""
        self._share, self._file, self._clock = share, file, clock
        self._next_s = clock() + PATIENCE_S
        self._shown = False

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Draw the bar again, if it is time."""
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _EVERY_S
        share = min(max(self._share(), 0.0), 1.0)
        if share:
            done = round(share * _WIDTH)
            bar = "#" * done + "." * (_WIDTH - done)
            self._file.write(f"\r[{bar}] {share:4.0%} {pipeline.packets:,} packets ")
            self._file.flush()
            self._shown = True

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Take the bar away."""
        if self._shown:
            self._file.write("\r\x1b[K")
            self._file.flush()
