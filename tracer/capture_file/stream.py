"""A capture's bytes, from a path or standard input, whatever they are compressed with."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import stat
import zlib
from pathlib import Path
from types import ModuleType
from typing import Protocol

from tracer.errors import InputError

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")
"""The standard library's from Python 3.14 on, and its backport with the same interface."""


class Peekable(Protocol):
    """Buffered input that shows what comes next."""

    def peek(self, size: int, /) -> bytes:
        """Some of the next bytes."""

    def read1(self, size: int, /) -> bytes:
        """At most ``size`` bytes, with at most one wait for them; none at the end."""

    def readinto1(self, buffer: memoryview, /) -> int:
        """Read what fits, and say how much; 0 at the end. It may wait twice."""

    def close(self) -> None:
        """Give it back."""


class CaptureStream:
    """An open capture, decompressed; ``-`` is standard input."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = io.FileIO(0, closefd=False) if str(path) == "-" else io.FileIO(path)
            self._buffered = io.BufferedReader(self._file, 1 << 18)
            head = self._buffered.peek(4)[:4]
        except OSError as error:
            raise InputError(
                f"cannot open {path}", error.strerror or str(error), "give a readable capture file"
            ) from error
        self.is_pipe = not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        self.size = 0 if self.is_pipe else os.fstat(self._file.fileno()).st_size
        """Bytes of the file, compressed as it is; 0 for a pipe."""
        self.bytes: Peekable = self._buffered
        self.name = "standard input" if str(path) == "-" else str(path)
        if head[:2] == _GZIP:
            self.bytes = gzip.GzipFile(fileobj=self._buffered)
        elif head == _ZSTD:
            self.bytes = self._zstd(path)

    def peek(self, count: int) -> bytes:
        """The first bytes, which stay to be read; fewer if a pipe has no more yet."""
        try:
            return self.bytes.peek(count)[:count]
        except (EOFError, OSError, zlib.error):
            return b""

    def position(self) -> int:
        """How many of those have been read."""
        return 0 if self.is_pipe or self._file.closed else self._file.tell()

    def fileno(self) -> int:
        """To wait on."""
        return self._file.fileno()

    def close(self) -> None:
        """Give the file back; safe to call twice."""
        self.bytes.close()
        self._buffered.close()

    def _zstd(self, path: Path) -> Peekable:
        for name in _ZSTD_MODULES:
            module = _imported(name)
            if module is not None:
                return _Zstd(module.ZstdFile(self._buffered), module.ZstdError)
        self._buffered.close()
        raise InputError(
            f"cannot read {path}",
            "it is compressed with zstd, which this Python cannot read",
            f"install backports.zstd, or run: zstd -dc {path} | viptrace replay -",
        )


class _Zstd:
    """Input whose faults are OSErrors, as gzip's are: this module's are a kind of their own."""

    def __init__(self, file: Peekable, fault: type[Exception]) -> None:
        self._file, self._fault = file, fault

    def peek(self, size: int, /) -> bytes:
        """Some of the next bytes."""
        try:
            return self._file.peek(size)
        except self._fault as error:
            raise OSError(str(error)) from error

    def read1(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""
        try:
            return self._file.read1(size)
        except self._fault as error:
            raise OSError(str(error)) from error

    def readinto1(self, buffer: memoryview, /) -> int:
        """Read what fits, and say how much; 0 at the end."""
        try:
            return self._file.readinto1(buffer)
        except self._fault as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Give it back."""
        self._file.close()


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
