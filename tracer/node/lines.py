"""What the parsers share: places that could not be read, and columns out of text."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tracer.address import MAPPED_PREFIX, AddressColumn

LISTED = 50
"""Unread places named for each file; the rest is counted."""
INVALID = b"\xff" * 16
"""Stands for an address that is none: the all-ones multicast address never is in a table."""


class Unread:
    """The places of one file that could not be understood: the first few named, all counted."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0
        self._listed: list[str] = []

    def add(self, line: int, what: str, text: bytes | str = "") -> None:
        """Count one place; ``line`` counts from 1, 0 is the whole file."""
        self.count += 1
        if len(self._listed) >= LISTED:
            return
        place = f"{self.file}:{line}" if line else self.file
        quoted = f": {_quoted(text)}" if text else ""
        self._listed.append(f"{place}: {what}{quoted}")

    def listed(self) -> tuple[str, ...]:
        """``file:line: what`` for each place, the last one saying how many more there are."""
        more = self.count - len(self._listed)
        return (*self._listed, f"{self.file}: and {more} more") if more else tuple(self._listed)


def _quoted(text: bytes | str) -> str:
    """The start of a line as printable ASCII: the file may hold anything."""
    start = text[:60]
    shown = start.decode("latin-1") if isinstance(start, bytes) else start
    return ascii(shown)


def packed(text: str) -> bytes:
    """16 bytes of an address, thirty times as fast as ``address.parse``; ValueError if none."""
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
        return MAPPED_PREFIX + socket.inet_pton(socket.AF_INET, text)
    except OSError as error:
        raise ValueError(text) from error


class Packed(dict[bytes, bytes]):
    """Address text to 16 bytes, each distinct text converted once; ``INVALID`` if it is none."""

    def __init__(self, convert: Callable[[str], bytes] = packed) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: bytes) -> bytes:
        try:
            found = self._convert(text.decode("ascii"))
        except ValueError:
            found = INVALID
        self[text] = found
        return found

    def column(self, texts: Sequence[bytes]) -> AddressColumn:
        """Shape (n, 2) column of the addresses."""
        return np.frombuffer(b"".join(map(self.__getitem__, texts)), dtype="<u8").reshape(-1, 2)


class Numbers(dict[bytes, int]):
    """Digits to a number, each distinct text converted once; no text is 0.

    More than 32 bits become all ones.
    """

    def __init__(self, base: int = 10) -> None:
        super().__init__({b"": 0})
        self._base = base

    def __missing__(self, text: bytes) -> int:
        number = self[text] = min(int(text, self._base), 0xFFFFFFFF)
        return number

    def column(self, texts: Sequence[bytes]) -> npt.NDArray[np.uint32]:
        """Shape (n,) column of the numbers."""
        if not any(texts):
            return np.zeros(len(texts), dtype=np.uint32)
        return np.fromiter(map(self.__getitem__, texts), dtype=np.uint32, count=len(texts))


def is_mapped(addresses: AddressColumn) -> npt.NDArray[np.bool_]:
    """Which rows are IPv4."""
    low = addresses[:, 1] & np.uint64(0xFFFFFFFF)
    return np.asarray((addresses[:, 0] == 0) & (low == np.uint64(0xFFFF0000)))


def is_invalid(addresses: AddressColumn) -> npt.NDArray[np.bool_]:
    """Which rows hold ``INVALID``."""
    return np.asarray((addresses == np.uint64(0xFFFFFFFFFFFFFFFF)).all(axis=1))
