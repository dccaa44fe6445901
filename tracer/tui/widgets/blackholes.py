"""The table of findings: faults first, what has closed last."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import DataTable, Static

from tracer import address
from tracer.cells import duration_text
from tracer.diagnosis.finding import Finding, Severity
from tracer.plain import harmless, shortened
from tracer.tui.messages import DetailWanted
from tracer.tui.search import Search
from tracer.view import Page, Sheet, Snapshot

_STYLE = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_STEP_NS = 5_000_000_000
"""Ages move in steps, so that a quiet table is not redrawn four times a second."""
FINDING_PAGES = (Page.TRANSLATIONS, Page.BLACKHOLES)
"""Where findings are listed, or that there is none."""
_TITLES = ("Severity", "Whom", "Cause", "Seen", "Age", "What")


class Blackholes(DataTable[Text]):
    """Open findings by severity, then closed ones; tens of rows, so a DataTable will do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "details", "Recovery steps", id="findings.details"),
        Binding("k", "cursor_up", "Row up", id="findings.up", show=False),
        Binding("j", "cursor_down", "Row down", id="findings.down", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", cursor_foreground_priority="renderable")
        self.findings: tuple[Finding, ...] = ()
        self._drawn: list[tuple[str, ...]] = []

    def on_mount(self) -> None:
        """Columns are fixed."""
        for title in _TITLES:
            self.add_column(Text(title), key=title)
        self._show_size()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw if anything changed, keeping the selected finding selected."""
        chosen = self.chosen
        self.findings = snapshot.open + snapshot.closed
        drawn = [_texts(finding, snapshot.now_ns) for finding in self.findings]
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self.clear()
        for finding, texts in zip(self.findings, drawn, strict=True):
            style = _STYLE[finding.severity] if finding.open else "dim"
            self.add_row(Text(texts[0], style), *map(Text, texts[1:]))
        self._select(chosen)
        self._show_size()

    def stand_on(self, page: Page, snapshot: Snapshot) -> None:
        """A few on top of the translations, all of them on their own page."""
        self.display = page in FINDING_PAGES and bool(snapshot.open or snapshot.closed)
        self.set_class(page is Page.BLACKHOLES, "-full")

    @property
    def chosen(self) -> Finding | None:
        """The finding under the cursor; the gravest one before anybody moved."""
        return self.findings[self.cursor_row] if self.cursor_row < len(self.findings) else None

    def find(self, text: str, step: int) -> bool:
        """Go to the next finding with a text, ``step`` rows from the cursor on, if there is one."""
        sheet = Sheet(cells=tuple(self._drawn), count=len(self._drawn))
        search = Search(text, self.cursor_row + step, sheet.count, step < 0)
        while not search.exhausted:
            position = search.look(sheet)
            if position >= 0:
                self.move_cursor(row=position, animate=False)
                return True
        return False

    def action_details(self) -> None:
        """All about the selected finding."""
        self.post_message(DetailWanted())

    def _select(self, finding: Finding | None) -> None:
        if finding is None:
            return
        for row, other in enumerate(self.findings):
            if (other.cause, other.subject.key) == (finding.cause, finding.subject.key):
                self.move_cursor(row=row, animate=False)

    def _show_size(self) -> None:
        self.set_class(not self.findings, "-empty")


class NoFindings(Static):
    """Says that there is nothing to list, or nothing that passes."""

    word: reactive[str] = reactive("")

    def render(self) -> str:
        """Plain words of ours."""
        return self.word or "No blackholes found so far."

    def tell(self, shown: bool, word: str) -> None:
        """Show it or not, with another reason than that nothing was found."""
        self.display, self.word = shown, word


def whom(finding: Finding) -> str:
    """Whom a finding is about, the Service first: it is what one has to change."""
    subject = finding.subject
    if subject.service:
        return harmless(subject.service)
    if subject.address:
        return address.text(subject.address)
    if subject.flow:
        return address.endpoint(subject.flow.dst, subject.flow.dst_port)
    return harmless(subject.node or "")


def _texts(finding: Finding, now_ns: int) -> tuple[str, ...]:
    return (
        finding.severity.label.upper() if finding.open else "closed",
        shortened(whom(finding), 40),
        harmless(finding.cause),
        str(finding.count or ""),
        duration_text(max((now_ns - finding.since_ns) // _STEP_NS * _STEP_NS, 0)),
        harmless(finding.summary),
    )
