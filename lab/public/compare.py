"""How many packets a capture has: by viptrace, by capinfos, and by tcpdump where that refuses."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.capture_file import CaptureReader, CaptureStream
from tracer.commands.captures import open_captures
from tracer.errors import TracerError
from tracer.events import EventBatch
from tracer.pipeline import Pipeline

_AT_ONCE = 200
"""Files of one call of capinfos."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one capture."""

    name: str
    ours: int
    theirs: int | None
    """None: neither tool reads it."""
    damaged: int = 0
    failure: str = ""
    """A crash, or why we refuse it."""
    refusal: str = ""
    """Why the other tools do."""

    @property
    def is_good(self) -> bool:
        """As many as the others count, or at least read where they refuse."""
        return not self.failure and self.theirs in (None, self.ours)


def outcomes(files: Sequence[tuple[str, Path]]) -> list[Outcome]:
    """One for each (name, path)."""
    told: dict[str, int] = {}
    for first in range(0, len(files), _AT_ONCE):
        told |= by_capinfos([path for _, path in files[first : first + _AT_ONCE]])
    return [_outcome(name, path, told.get(str(path))) for name, path in files]


def by_capinfos(paths: Sequence[Path]) -> dict[str, int]:
    """Packets of the files that capinfos reads."""
    command = ["capinfos", "-c", "-T", "-r", "-m", "-M", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = csv.reader(done.stdout.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def by_tcpdump(path: Path) -> tuple[int | None, str]:
    """Packets of a file, None if tcpdump does not read it to the end; and what it says then."""
    command = ["tcpdump", "-n", "--count", "-r", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    word = done.stdout.partition(" packet")[0].strip()
    if done.returncode == 0 and word.isdecimal():
        return int(word), ""
    lines = done.stderr.strip().splitlines()
    return None, lines[-1].removeprefix("tcpdump: ") if lines else f"status {done.returncode}"


def _outcome(name: str, path: Path, theirs: int | None) -> Outcome:
    refusal = ""
    if theirs is None:
        theirs, refusal = by_tcpdump(path)
    try:
        ours, damaged = counted(path)
        replayed(path)
    except TracerError as error:
        return Outcome(name, 0, theirs, failure=str(error), refusal=refusal)
    except Exception as error:  # a crash is what is looked for
        return Outcome(name, 0, theirs, failure=f"CRASH {error!r}", refusal=refusal)
    return Outcome(name, ours, theirs, damaged, refusal=refusal)


def counted(path: Path) -> tuple[int, int]:
    """Packets of a file, of whatever kind, and places that are damaged."""
    stream = CaptureStream(path)
    try:
        reader, packets = CaptureReader(stream.bytes, path.name), 0
        while (chunk := reader.read()) is not None:
            packets += chunk.times_ns.size
        return packets, reader.damaged
    finally:
        stream.close()


def replayed(path: Path) -> Pipeline:
    """A pipeline that has been fed the whole file."""
    pipeline = Pipeline(pair=True)
    for source in open_captures([path]).sources:
        source.open()
        try:
            while (batch := source.read(1.0)) is not None:
                if isinstance(batch, EventBatch):
                    pipeline.feed(batch)
        finally:
            source.close()
    pipeline.finish()
    return pipeline
