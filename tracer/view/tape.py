"""Where on the time line the screen stands, and what can be reached from there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tracer.diagnosis.finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class Mark:
    """One finding's place on the time line."""

    at_ns: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class Tape:
    """A stretch of record time with a position in it; all zero before anything was seen."""

    begin_ns: int = 0
    end_ns: int = 0
    at_ns: int = 0
    playing: bool = True
    pace: float = 1.0
    """Seconds of the recording in one second; 0 as fast as it can be read."""
    marks: tuple[Mark, ...] = ()
    live: bool = True
    """Whether the end moves on with the clock."""
    read: float = 1.0
    """Share of a recording that has been read for the first time."""
    rewinds: bool = True
    """Whether there is a way back."""

    @property
    def span_ns(self) -> int:
        """How long it is."""
        return max(self.end_ns - self.begin_ns, 0)


class Player(Protocol):
    """Plays a recording as the screen wishes; callable from the screen's thread."""

    def toggle(self) -> None:
        """Play on, or hold."""

    def step(self, by: int) -> None:
        """To the next record (1) or the one before (-1)."""

    def faster(self, by: int) -> None:
        """Along the scale of paces."""

    def seek(self, at_ns: int) -> None:
        """To this moment."""


def marks_of(findings: Iterable[Finding]) -> tuple[Mark, ...]:
    """One mark for each, in the order of time."""
    marks = (Mark(finding.since_ns, finding.severity) for finding in findings)
    return tuple(sorted(marks, key=lambda mark: (mark.at_ns, mark.severity)))
