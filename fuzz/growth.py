"""How the time of a reader grows with its input: twice the bytes should cost twice the time."""

from __future__ import annotations

import time

from fuzz import corpus
from fuzz.seeds import seeds
from fuzz.targets import Target

_BASE_BYTES = 1 << 14
_TIMES = 8
_STEEP = 2.5 * _TIMES
"""Printed with the input: far more than in proportion."""


def report(target: Target) -> None:
    """Print the steepest growth over all inputs: 8.0 for eight times the bytes is linear."""
    steepest, at = 0.0, b""
    for data in [*corpus.kept(target.name), *seeds(target)]:
        if not data:
            continue
        once = (data * (_BASE_BYTES // len(data) + 1))[:_BASE_BYTES]
        growth = _seconds(target, once * _TIMES) / max(_seconds(target, once), 0.0005)
        if growth > steepest:
            steepest, at = growth, data
    print(f"{target.name}: {_TIMES} times the bytes took at most {steepest:.1f} times as long")
    if steepest > _STEEP:
        print(f"  with {at[:200]!r}")


def _seconds(target: Target, data: bytes) -> float:
    """The better of two runs: another process may have had the processor."""
    spent = []
    for _ in range(2):
        started = time.perf_counter()
        target.read(data)
        spent.append(time.perf_counter() - started)
    return min(spent)
