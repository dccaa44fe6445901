"""What is selected as plain text, to be copied or kept as a file."""

from __future__ import annotations

import re
from pathlib import Path

from textual.app import App
from textual.notifications import SeverityLevel

from tracer.clock import rfc3339, wall_ns
from tracer.detail import Detail
from tracer.diagnosis.finding import Finding
from tracer.plain import harmless
from tracer.tui.widgets.detail_pane import Subject, describe


def told(subject: Subject) -> str:
    """All that the detail page says, without colours."""
    return describe(subject).plain.rstrip() + "\n"


def copy(app: App[int], subject: Subject) -> None:
    """Evidence and remedy into the terminal's clipboard."""
    if subject is None:
        app.notify("Nothing is selected.", timeout=2)
        return
    app.copy_to_clipboard(told(subject))
    app.notify("Copied, if the terminal allows it (OSC 52).", timeout=3)


def write(app: App[int], subject: Subject) -> None:
    """The same into a new file of the working directory."""
    if subject is None:
        app.notify("Nothing is selected.", timeout=2)
        return
    text, severity = written(subject, Path.cwd())
    app.notify(text, severity=severity, markup=False)


def written(subject: Finding | Detail, folder: Path) -> tuple[str, SeverityLevel]:
    """Export it; what came of that, and how grave it is."""
    try:
        return harmless(f"Written to {export(subject, folder)}"), "information"
    except OSError as error:
        return harmless(f"Not written: {error}"), "error"


def export(subject: Finding | Detail, folder: Path) -> Path:
    """Write it into a new file of this folder; OSError where that cannot be."""
    name = subject.cause if isinstance(subject, Finding) else f"row-{subject.id}"
    moment = re.sub(r"[^0-9T]", "", rfc3339(wall_ns())[:19])
    safe = re.sub(r"[^a-z0-9-]", "_", name.lower())[:80]
    for number in range(1000):
        again = f"-{number}" if number else ""
        path = folder / f"viptrace-{safe}-{moment}{again}.txt"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(told(subject))
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{folder} is full of viptrace-{safe}-{moment}")
