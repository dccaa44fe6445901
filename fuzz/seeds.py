"""First inputs of a target: from the recorded scenarios, and from what it says itself."""

from __future__ import annotations

from pathlib import Path

from fuzz.targets import Target

SCENARIOS = Path(__file__).resolve().parent.parent / "pcaps"
LONGEST_BYTES = 1 << 12
"""Longer files are cut: a short input is tried a hundred times as often."""


def seeds(target: Target) -> list[bytes]:
    """Each once, shortest first."""
    found = set(target.samples)
    for pattern in target.seeds:
        found |= {path.read_bytes()[:LONGEST_BYTES] for path in SCENARIOS.glob(pattern)}
    return sorted(found, key=lambda data: (len(data), data))
