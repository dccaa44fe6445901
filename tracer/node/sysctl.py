"""``sysctl -a`` as text: read, and written where that tool is not there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tracer.node.lines import Unread


def parse(text: str, unread: Unread) -> dict[str, str]:
    """Value by dotted name; the last of two equal names wins."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.partition("=")
        name = name.strip()
        if equals and name and not any(c.isspace() for c in name):
            values[name] = value.strip()
        elif line.strip() and not line.lstrip().startswith("#"):
            unread.add(number, "not a sysctl", line)
    return values


def text(proc: Path, group: str) -> str:
    """A line for each value below ``/proc/sys/GROUP`` that can be read."""
    return "".join(f"{name} = {value}\n" for name, value in readable(_below(proc / "sys", group)))


def readable(paths: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, str]]:
    """Names and values of those that exist and can be read: one line each."""
    for name, path in paths:
        try:
            yield name, path.read_text(errors="replace").strip().replace("\n", " ")
        except OSError:  # gone, or only written to
            continue


def _below(root: Path, group: str) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(root / group):  # passes over devices that vanish
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            yield ".".join(part.replace(".", "/") for part in path.relative_to(root).parts), path
