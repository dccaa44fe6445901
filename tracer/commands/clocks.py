"""Captures of several machines: how far their clocks are apart, by the packets they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracer.capture_file import CaptureReader, CaptureStream
from tracer.commands.clock_option import ClockChoice
from tracer.errors import InputError
from tracer.packets import decode_spans
from tracer.packets.shared import Offset, Sketch, offset_between
from tracer.plain import harmless
from tracer.sources import Problem

_MOST_PACKETS = 5_000_000
"""Of each clock: more tell nothing new."""
_KEEP = "--clock-offset off leaves the times as they are"


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of one file, or of the files of one recording."""

    files: tuple[str, ...]
    ahead_ns: int = 0
    """How much is taken off its times."""
    beside: str = ""
    """The file with whose clock it was compared; empty for the first one, and if none could be."""
    found: Offset | None = None
    """What the packets said."""
    overlaps: bool = False
    """It covers times of another file, so packets might be shared."""

    @property
    def problem(self) -> Problem | None:
        """What a user has to know of it."""
        name = harmless(self.files[0])
        if self.found is not None and self.ahead_ns:
            apart = f"{abs(self.ahead_ns) / 1e9:.6f} s"
            way = "ahead of" if self.ahead_ns > 0 else "behind"
            first = harmless(self.beside)
            why = f"{self.found.shared:,} packets are in both; its times were put right"
            return Problem(f"the clock of {name} is {apart} {way} that of {first}", why, _KEEP)
        if self.found is not None and not self.found.agreed:
            why = f"{self.found.shared:,} packets are in both and say different things"
            return Problem(f"the clock of {name} cannot be compared", why, _given(name))
        if self.found is None and self.overlaps and not self.ahead_ns:
            return Problem(
                f"the clock of {name} cannot be compared",
                "it shares too few packets with the other files",
                _given(name),
            )
        return None

    def json(self) -> dict[str, object]:
        """As the summary has it."""
        found = self.found
        return {
            "files": list(self.files),
            "ahead_s": round(self.ahead_ns / 1e9, 9),
            "beside": self.beside or None,
            "shared_packets": found.shared if found else 0,
            "way_s": round(found.way_ns / 1e9, 9) if found and found.both_ways else None,
        }


def _given(name: str) -> str:
    return f"give it: --clock-offset {name}=SECONDS"


def clocks_of(
    groups: Sequence[Sequence[Path]], choice: ClockChoice, first: Path | None = None
) -> list[Clock]:
    """One for each group of files that one clock has stamped; that of ``first`` is right."""
    clocks = [Clock(tuple(map(str, group))) for group in groups]
    _check(clocks, choice)
    readable = all(path.is_file() for group in groups for path in group)
    if choice.estimate and len(groups) > 1 and readable:
        right = next((n for n, group in enumerate(groups) if first in group), 0)
        clocks = _compared(clocks, [_Sample.of(group) for group in groups], right)
    return [_as_given(clock, choice) for clock in clocks]


def _check(clocks: Sequence[Clock], choice: ClockChoice) -> None:
    known = {name for clock in clocks for name in clock.files}
    for name in choice.ahead_ns:
        if name not in known:
            raise InputError(
                f"--clock-offset {name}=… names no file of this replay.",
                f"There are: {', '.join(sorted(known))}.",
                "Write the file as it stands among the arguments.",
            )


def _as_given(clock: Clock, choice: ClockChoice) -> Clock:
    told = [choice.ahead_ns[name] for name in clock.files if name in choice.ahead_ns]
    return Clock(clock.files, told[0]) if told else clock


@dataclass(frozen=True, slots=True)
class _Sample:
    """What is remembered of one clock's packets."""

    sketch: Sketch
    first_ns: int
    last_ns: int

    @classmethod
    def of(cls, paths: Sequence[Path]) -> _Sample:
        sketch, count = Sketch(), 0
        first_ns, last_ns = (1 << 63) - 1, -(1 << 63)
        for path in paths:
            stream = CaptureStream(path)
            try:
                reader = CaptureReader(stream.bytes, stream.name)
                while count < _MOST_PACKETS and (chunk := reader.read()) is not None:
                    points = np.zeros(chunk.times_ns.size, dtype=np.uint32)
                    records, _ = decode_spans(chunk.spans, chunk.times_ns, points)
                    sketch.add(records)
                    count += len(records)
                    if len(records):
                        first_ns = min(first_ns, int(records["time_ns"].min()))
                        last_ns = max(last_ns, int(records["time_ns"].max()))
            finally:
                stream.close()
        return cls(sketch, first_ns, last_ns)

    def overlaps(self, other: _Sample) -> bool:
        return self.first_ns <= other.last_ns and other.first_ns <= self.last_ns


def _compared(clocks: list[Clock], samples: list[_Sample], right: int) -> list[Clock]:
    """Each by the known one with which it shares the most packets, beginning at the right one."""
    known = {right: clocks[right]}
    while len(known) < len(clocks):
        pairs = [
            (found, here, there)
            for here in known
            for there in range(len(clocks))
            if there not in known
            if (found := offset_between(samples[here].sketch, samples[there].sketch)) is not None
        ]
        if not pairs:
            break
        found, here, there = max(pairs, key=lambda pair: (pair[0].agreed, pair[0].shared))
        own_ns = found.offset_ns if found.is_certain else 0
        ahead_ns = known[here].ahead_ns + own_ns
        known[there] = Clock(clocks[there].files, ahead_ns, clocks[here].files[0], found)
    return [known.get(number) or _alone(clocks, samples, number) for number in range(len(clocks))]


def _alone(clocks: list[Clock], samples: list[_Sample], number: int) -> Clock:
    others = (each for at, each in enumerate(samples) if at != number)
    overlaps = any(samples[number].overlaps(other) for other in others)
    return Clock(clocks[number].files, overlaps=overlaps)
