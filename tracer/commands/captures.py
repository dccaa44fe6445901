"""Capture files as one source: recordings and plain captures, told apart by their beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tracer.capture_file import CaptureStream
from tracer.commands.ahead import Ahead
from tracer.commands.clock_option import ClockChoice
from tracer.commands.clocks import Clock, clocks_of
from tracer.recording import Header, is_recording
from tracer.recording.header import HEAD_BYTES
from tracer.sources import Source
from tracer.sources.capture import CaptureSource
from tracer.sources.changed import ChangedSource, earlier
from tracer.sources.recording import RecordingParts, RecordingSource


@dataclass(frozen=True, slots=True)
class Captures:
    """What was opened."""

    streams: tuple[CaptureStream, ...]
    recordings: tuple[RecordingSource, ...]
    sources: tuple[Source, ...]
    clocks: tuple[Clock, ...] = ()
    """In no order; one for each plain file, and one for the files of each recording."""

    @property
    def header(self) -> Header | None:
        """Of the first recording; None if there is none."""
        return self.recordings[0].header if self.recordings else None

    def progress(self) -> float:
        """Share of the files' bytes that has been read; 0 where it cannot be told."""
        total = sum(stream.size for stream in self.streams)
        return sum(stream.position() for stream in self.streams) / total if total else 0.0


def open_captures(
    paths: Sequence[Path],
    *,
    keep_node: bool = True,
    keep_cluster: bool = True,
    keep_bytes: bool = True,
    choice: ClockChoice | None = None,
    ahead: Ahead | None = None,
) -> Captures:
    """Open the files; those of one rotated recording follow each other.

    ``keep_node`` and ``keep_cluster``: whether the states in recordings are wanted;
    ``keep_bytes``: whether the packets of plain captures are, beside what is read from them;
    ``choice``: how their clocks are compared; ``ahead``: the only file, being read already.
    """
    if ahead is not None:
        clocks = clocks_of([list(paths)], ClockChoice(estimate=False), paths[0])
        return Captures((ahead.stream,), (), (ahead.source,), tuple(clocks))
    streams: list[CaptureStream] = []
    try:
        streams.extend(map(CaptureStream, paths))
        recorded = [stream for stream in streams if is_recording(stream.peek(HEAD_BYTES))]
        recordings = [
            RecordingSource(stream, keep_node=keep_node, keep_cluster=keep_cluster)
            for stream in recorded
        ]
        for recording in recordings:
            recording.open()
        return _opened(dict(zip(streams, paths, strict=True)), recordings, keep_bytes, choice)
    except BaseException:
        for stream in streams:
            stream.close()
        raise


def _opened(
    paths: dict[CaptureStream, Path],
    recordings: list[RecordingSource],
    keep_bytes: bool,
    choice: ClockChoice | None,
) -> Captures:
    plain = [stream for stream in paths if not any(stream is r.stream for r in recordings)]
    by_run = sorted(recordings, key=lambda recording: recording.header.run)
    runs = [list(parts) for _, parts in groupby(by_run, key=lambda one: one.header.run)]
    groups = [[paths[stream]] for stream in plain]
    groups += [[paths[part.stream] for part in parts] for parts in runs]
    first = next(iter(paths.values()), None)
    clocks = clocks_of(groups, choice or ClockChoice(estimate=False), first)
    ahead_ns = [clock.ahead_ns for clock in clocks]
    sources: list[Source] = []
    if plain:
        own = ahead_ns[: len(plain)]
        sources.append(CaptureSource(plain, keeps_bytes=keep_bytes, ahead_ns=own))
    for parts, shift_ns in zip(runs, ahead_ns[len(plain) :], strict=True):
        source: Source = parts[0] if len(parts) == 1 else RecordingParts(parts)
        sources.append(ChangedSource(source, earlier(shift_ns)) if shift_ns else source)
    return Captures(tuple(paths), tuple(recordings), tuple(sources), tuple(clocks))
