"""Event rows as one line each, so that a test reads like the table it was made from."""

from __future__ import annotations

from pathlib import Path

from tracer import address
from tracer.events import PROTOCOL_NAMES, Flag, Hook, Records

TABLES = Path(__file__).parent / "tables"


def end(row, name: str) -> str:
    return address.endpoint(row[name].tobytes(), int(row[f"{name}_port"]))


def spoken(row) -> str:
    """``tcp client > virtual => source > backend``."""
    number = int(row["protocol"])
    before = f"{end(row, 'src')} > {end(row, 'dst')}"
    after = f"{end(row, 'nat_src')} > {end(row, 'nat_dst')}"
    return f"{PROTOCOL_NAMES.get(number, number)} {before} => {after}"


def story(records: Records) -> list[str]:
    """Each row with its hook, in order."""
    return [f"{Hook(int(row['hook'])).name} {spoken(row)}" for row in records]


def flags(row) -> Flag:
    return Flag(int(row["flags"]))
