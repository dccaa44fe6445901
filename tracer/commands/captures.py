"""Capture files as one source: recordings and plain captures, told apart by their beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tracer.capture_file import CaptureStream
from tracer.recording import Header, is_recording
from tracer.recording.header import HEAD_BYTES
from tracer.sources import Source
from tracer.sources.capture import CaptureSource
from tracer.sources.recording import RecordingParts, RecordingSource


@dataclass(frozen=True, slots=True)
class Captures:
    """What was opened."""

    streams: tuple[CaptureStream, ...]
    recordings: tuple[RecordingSource, ...]
    sources: tuple[Source, ...]

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
) -> Captures:
    """Open the files; those of one rotated recording follow each other.

    ``keep_node`` and ``keep_cluster``: whether the states in recordings are wanted;
    ``keep_bytes``: whether the packets of plain captures are, beside what is read from them.
    """
    streams: list[CaptureStream] = []
    try:
        streams.extend(map(CaptureStream, paths))
        recorded = [stream for stream in streams if is_recording(stream.peek(HEAD_BYTES))]
        recordings = [
            RecordingSource(stream, keep_node=keep_node, keep_cluster=keep_cluster)
            for stream in recorded
        ]
        plain = [stream for stream in streams if stream not in recorded]
        sources: list[Source] = [CaptureSource(plain, keeps_bytes=keep_bytes)] if plain else []
        return _opened(streams, recordings, sources)
    except BaseException:
        for stream in streams:
            stream.close()
        raise


def _opened(
    streams: list[CaptureStream], recordings: list[RecordingSource], sources: list[Source]
) -> Captures:
    for recording in recordings:
        recording.open()
    by_run = sorted(recordings, key=lambda recording: recording.header.run)
    for _, parts in groupby(by_run, key=lambda recording: recording.header.run):
        members = list(parts)
        sources.append(members[0] if len(members) == 1 else RecordingParts(members))
    return Captures(tuple(streams), tuple(recordings), tuple(sources))
