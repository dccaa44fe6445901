"""Sinks: where updates go. All are equals; none knows a source or the screen."""

from __future__ import annotations

from typing import Protocol

from tracer.pipeline import Pipeline, Update


class Sink(Protocol):
    """A consumer of pipeline updates, called on the pipeline's thread."""

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Take one update; rows are read from ``pipeline.table`` now or never."""

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """The end: write what is left and the summary."""
