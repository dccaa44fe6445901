"""Monotonic kernel time to wall time: the one place that reads clocks for records."""

from __future__ import annotations

import time


def monotonic_offset_ns() -> int:
    """Nanoseconds to add to CLOCK_MONOTONIC to get CLOCK_REALTIME, now.

    Takes the tightest of a few samples, so that being scheduled away between
    the two reads does not become a clock error.
    """
    best_width, best_offset = 1 << 62, 0
    for _ in range(5):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if after - before < best_width:
            best_width, best_offset = after - before, wall - (before + after) // 2
    return best_offset


def wall_ns() -> int:
    """Wall clock now, in nanoseconds since the epoch."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def rfc3339(time_ns: int) -> str:
    """``2026-01-31T12:00:00.123456789Z`` for nanoseconds since the epoch."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
