"""Everything about what is selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from tracer.clock import rfc3339
from tracer.detail import Detail, Step, Way
from tracer.diagnosis.finding import Finding, Severity
from tracer.plain import harmless, numbered
from tracer.tui.hanging import Hanging
from tracer.tui.messages import DetailWanted
from tracer.tui.widgets.blackholes import whom
from tracer.tui.widgets.dissection import dissected, hex_lines

_STYLE = {
    Severity.CRITICAL: "bold red",
    Severity.WARNING: "bold yellow",
    Severity.INFO: "bold cyan",
}
_MARKS = {
    Way.STATION: ("●", "bold"),
    Way.OUT: ("▼", ""),
    Way.DECIDED: ("◆", "cyan"),
    Way.BACK: ("▲", ""),
    Way.FAILED: ("✗", "bold red"),
}
Subject = Detail | Finding | None


class DetailPane(VerticalScroll, can_focus=True):
    """Shows what is selected; scrolls where it is longer than the pane."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "details", "Whole page", id="detail.page"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._static = Static("", markup=False)
        self._shown: tuple[Subject, bool] | None = None

    def on_mount(self) -> None:
        """Its one child holds the text."""
        self.mount(self._static)

    def action_details(self) -> None:
        """The same on a whole page."""
        self.post_message(DetailWanted())

    def show(self, subject: Subject, functions: bool = False) -> None:
        """Show this one from now on."""
        if (subject, functions) != self._shown:
            self._shown = subject, functions
            self._static.update(Hanging(describe(subject, functions)))


def describe(subject: Subject, functions: bool = False) -> Text:
    """The words for a finding or a row; on its way with the kernel's functions, if wanted."""
    if isinstance(subject, Finding):
        return finding_text(subject)
    if subject is None:
        return Text("Nothing selected: press Tab and the arrow keys to choose a row.", "dim")
    return detail_text(subject, functions)


def finding_text(finding: Finding) -> Text:
    """Summary first, then the steps: they are what is needed in a hurry."""
    status = finding.severity.label.upper() if finding.open else "CLOSED"
    text = Text()
    text.append(f"{status}  {whom(finding)}\n", _STYLE[finding.severity])
    text.append(f"{harmless(finding.summary)}\n")
    if finding.consequence_of:
        text.append(f"A consequence of {harmless(finding.consequence_of)}.\n")
    _section(text, "What to do", numbered(finding.remedy))
    _section(text, "Evidence", [harmless(f"{fact.kind}: {fact.text}") for fact in finding.evidence])
    seen = f"seen {finding.count}×, " if finding.count else ""
    text.append(
        f"\n{harmless(finding.cause)}, confidence {finding.confidence:.0%}, {seen}"
        f"since {rfc3339(finding.since_ns)[:19]}Z",
        "dim",
    )
    return text


def detail_text(detail: Detail, functions: bool = False) -> Text:
    """The title, the findings about it and beside it, then every fact."""
    text = Text()
    text.append(f"{detail.title}\n", "bold")
    for finding in detail.findings:
        text.append(f"{finding.severity.label.upper()}: ", _STYLE[finding.severity])
        text.append(f"{harmless(finding.summary)}\n")
    for finding in detail.beside:
        text.append(f"Others there: {harmless(finding.summary)}\n", "dim")
    _draw_path(text, detail.path, functions)
    wide = max((len(label) for label, _ in detail.facts), default=0)
    for label, fact in detail.facts:
        text.append(f"{label:<{wide}}  ", "dim")
        text.append(f"{fact}\n")
    if detail.captured:
        _section(text, "Dissection", dissected(detail.captured.data, detail.captured.link_type))
        _section(text, "Bytes", hex_lines(detail.captured.data))
    for finding in detail.findings + detail.beside:
        _section(text, f"What to do about {harmless(finding.cause)}", numbered(finding.remedy))
    return text


def _draw_path(text: Text, path: Sequence[Step], functions: bool) -> None:
    """The way as a picture: stations, what was seen between them, addresses where they change."""
    told = ""
    if path:
        text.append("\nPath\n", "bold underline")
    for step in path:
        mark, style = _MARKS[step.way]
        time = f"+{step.since_ns / 1e6:.3f} ms  " if step.since_ns >= 0 else ""
        text.append(f"{mark} ", style)
        text.append(f"{time if step.way is not Way.STATION else ''}", "dim")
        text.append(step.what, style)
        text.append(f"  {step.function}()\n" if functions and step.function else "\n", "dim")
        if step.addresses and step.addresses != told:
            text.append("│ ", "dim")
            text.append(f"  {step.addresses}\n")
        for rule in step.rules:
            text.append("│   ", "dim")
            text.append(f"{rule}\n", "dim")
        told = step.addresses or told
    if path:
        text.append("\n")


def _section(text: Text, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    text.append(f"\n{title}\n", "bold underline")
    for line in lines:
        text.append(f"{line}\n")
