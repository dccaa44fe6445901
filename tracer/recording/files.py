"""Where a recording goes: one file or a row of them, or a pipe; every write is whole or undone."""

from __future__ import annotations

import io
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from tracer.errors import InputError

_WRITE_BACK_EVERY_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """When a file ends and another begins; 0 means never."""

    rotate_bytes: int = 0
    rotate_ns: int = 0
    keep: int = 0
    """Newest files that stay when there is rotation; 0 all."""
    max_bytes: int = 0
    """Of all files together; the recording ends there."""

    @property
    def rotates(self) -> bool:
        """Whether there will be several files."""
        return bool(self.rotate_bytes or self.rotate_ns)


class RecordingFiles:
    """Numbered files, or one; ``-`` is standard output. OSError says what the system refuses."""

    def __init__(self, target: Path, limits: Limits) -> None:
        if str(target) == "-" and limits.rotates:
            raise InputError(
                "Standard output cannot be rotated.", "", "Name a file: -o FILE.pcapng."
            )
        self._target, self._limits = target, limits
        self._file: io.FileIO | None = None
        self._written: deque[Path] = deque()
        self._began_ns = self._written_back_ns = 0
        self._size = 0
        self.part = 0
        """Number of the file that is open, from 1."""
        self.total_bytes = 0
        """Bytes written so far, files that have gone included."""

    @property
    def path(self) -> Path:
        """The file that is open, or the one to be opened first."""
        if not self._limits.rotates:
            return self._target
        suffix = self._target.suffix or ".pcapng"
        return self._target.with_name(f"{self._target.stem}-{max(self.part, 1):05d}{suffix}")

    def begin(self, now_ns: int = 0) -> None:
        """Open the next file, and remove the oldest if there are too many.

        Its time runs from ``now_ns``, or from when it is first asked whether it is due.
        """
        self.close()
        self.part += 1
        self._began_ns, self._size = now_ns, 0
        if str(self._target) == "-":
            self._file = io.FileIO(sys.stdout.fileno(), "wb", closefd=False)
            return
        self._file = io.FileIO(self.path, "wb")
        self._written.append(self.path)
        while self._limits.keep and len(self._written) > self._limits.keep:
            self._written.popleft().unlink(missing_ok=True)

    def is_due(self, now_ns: int) -> bool:
        """Whether the open file is to be followed by another."""
        limits = self._limits
        self._began_ns = self._began_ns or now_ns
        grown = bool(limits.rotate_bytes) and self._size >= limits.rotate_bytes
        return grown or (bool(limits.rotate_ns) and now_ns - self._began_ns >= limits.rotate_ns)

    def has_room(self, count: int) -> bool:
        """Whether so many bytes may still be written."""
        return not self._limits.max_bytes or self.total_bytes + count <= self._limits.max_bytes

    def write(self, data: bytes, now_ns: int) -> None:
        """Append whole blocks, handed to the system at once; on OSError none of them stays."""
        if self._file is None:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError:
            self._undo()
            raise
        self._size += len(data)
        self.total_bytes += len(data)
        self._write_back(now_ns)

    def close(self) -> None:
        """Close the open file; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _undo(self) -> None:
        """Cut off what was written in part, where the target is a file."""
        if self._file is not None and self._file.seekable():
            try:
                self._file.truncate(self._size)
            except OSError:
                return

    def _write_back(self, now_ns: int) -> None:
        """Let the system begin to write to the disk each second, without waiting for it."""
        if self._file is None or now_ns - self._written_back_ns < _WRITE_BACK_EVERY_NS:
            return
        self._written_back_ns = now_ns
        if self._file.seekable():
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
