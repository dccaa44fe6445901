"""One capture point of a file, and how its clock counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_ORIGIN = re.compile(r"ifindex (\d{1,10}) netns (\d{1,10})")


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface description as the file states it."""

    name: str
    link_type: int
    snap: int = 0
    """0 means unlimited."""
    resolution: int = 6
    """pcapng ``if_tsresol``: ticks of 10**-n seconds, or of 2**-n with the top bit set."""
    offset_s: int = 0
    description: str = ""

    @property
    def origin(self) -> tuple[int, int] | None:
        """(ifindex, netns) of the capturing host, if viptrace wrote the file."""
        match = _ORIGIN.fullmatch(self.description)
        return (int(match[1]), int(match[2])) if match else None

    def times_ns(self, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Nanoseconds since the epoch; what does not fit 64 bits wraps, silently."""
        nanoseconds = self._binary(ticks) if self.resolution & 0x80 else self._decimal(ticks)
        offset = np.array([self.offset_s], dtype=np.int64) * np.int64(10**9)
        return nanoseconds.view(np.int64) + offset

    def _decimal(self, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        digits = self.resolution
        if digits <= 9:
            return ticks * np.array([10 ** (9 - digits)], dtype=np.uint64)
        return ticks // np.uint64(10 ** min(digits - 9, 19))

    def _binary(self, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Seconds and fraction apart, so that nothing overflows; 32 bits of fraction suffice."""
        bits = min(self.resolution & 0x7F, 63)
        seconds = ticks >> np.uint64(bits)
        fraction = ticks & np.uint64((1 << bits) - 1)
        kept = min(bits, 32)
        fraction >>= np.uint64(bits - kept)
        billion = np.array([10**9], dtype=np.uint64)
        return seconds * billion + (fraction * billion >> np.uint64(kept))


def described(ifindex: int, netns: int) -> str:
    """The description from which :attr:`Interface.origin` is read back."""
    return f"ifindex {ifindex} netns {netns}"
