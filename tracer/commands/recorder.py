"""A recorder out of settings, and what is said of it while it runs."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Callable
from typing import TextIO

from tracer.cells import count_text
from tracer.events import Loss
from tracer.filters import Filter
from tracer.pipeline import Pipeline, Update
from tracer.plain import harmless
from tracer.recording import Header
from tracer.recording.files import Limits, RecordingFiles
from tracer.recording.privacy import Anonymized, Cut, Privacy, Shortened
from tracer.settings import RecordSettings
from tracer.sinks.record import RecordSink
from tracer.sources import Problem

STATUS_EVERY_S = 5.0


def privacy_of(settings: RecordSettings) -> Privacy:
    """How packets are cut, and whether strangers may see them."""
    cut = Cut(settings.snap, settings.payload)
    if settings.anonymize:
        return Anonymized(cut)
    return Shortened(cut) if cut != Cut() else Privacy()


def recorder_of(
    settings: RecordSettings,
    pipeline: Pipeline,
    backend: Callable[[], str],
    say: Callable[[Problem], None],
    hidden: bool = False,
    chosen: Filter | None = None,
) -> RecordSink:
    """The recorder; ``say`` is told at once when it has to stop.

    ``hidden``: strangers may see what it is given already; ``chosen``: only these flows.
    """
    limits = Limits(
        settings.rotate_bytes, round(settings.rotate_s * 1e9), settings.keep, settings.max_bytes
    )

    def header() -> Header:
        return Header(
            home_netns=pipeline.table.home_netns,
            requests_only=not pipeline.table.counts_packets,
            several_clocks=pipeline.several_clocks,
            pairs=pipeline.pairs,
            node=pipeline.node.node_name,
            backend=backend(),
            anonymized=hidden,
            writer=f"viptrace {importlib.metadata.version('viptrace')}",
        )

    files = RecordingFiles(settings.target, limits)
    return RecordSink(files, header, privacy_of(settings), say, chosen)


def complain(problem: Problem) -> None:
    """Say on standard error why a recording has stopped."""
    sys.stderr.write(harmless(f"viptrace: {problem}") + "\n")


class StatusLine:
    """A sink that says every few seconds how far a recording has come."""

    def __init__(
        self,
        recorder: RecordSink,
        file: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder, self._file, self._clock = recorder, file, clock
        self._next_s = clock() + STATUS_EVERY_S

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """A line, if it is time for one."""
        now_s = self._clock()
        if now_s >= self._next_s:
            self._next_s = now_s + STATUS_EVERY_S
            self._say(pipeline)

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """The last line, and what was missing."""
        self._say(pipeline)
        missing = summary.get("degraded")
        for one in missing if isinstance(missing, list) else []:
            self._file.write(harmless(f"viptrace: degraded: {one}") + "\n")

    def _say(self, pipeline: Pipeline) -> None:
        size = count_text(self._recorder.total_bytes)
        counts = ", ".join(
            f"{count_text(number)} {name}"
            for number, name in (
                (pipeline.packets, "packets"),
                (pipeline.events, "events"),
                (len(pipeline.table.translated()), "translations"),
                (len(pipeline.findings.open()), "findings open"),
            )
        )
        line = f"viptrace: {self._recorder.path}: {size} bytes; {counts}; {_lost(pipeline.lost)}"
        self._file.write(harmless(line) + "\n")
        self._file.flush()


def _lost(lost: Loss) -> str:
    return f"{lost.total} lost" if lost else "nothing lost"
