"""The pages in the order of their keys; the one place that lists them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracer.view import Heading, Line, Page, Snapshot, detail_from, sheet_of


@dataclass(frozen=True, slots=True)
class PageEntry:
    """One page: what its tab says and what its help is."""

    page: Page
    title: str
    help: str

    @property
    def key(self) -> str:
        """The digit that leads to it."""
        return str(PAGES.index(self) + 1)


PAGES: tuple[PageEntry, ...] = (
    PageEntry(Page.TRANSLATIONS, "Translations", "Flows and what they were translated to"),
    PageEntry(Page.BLACKHOLES, "Blackholes", "Findings, open ones by severity, then closed ones"),
    PageEntry(Page.SERVICES, "Services", "Virtual servers and backends with their load"),
    PageEntry(
        Page.EVENTS, "Events", "Kernel decisions, node and cluster changes, findings by time"
    ),
    PageEntry(Page.PACKETS, "Packets", "Packets of the selected flow over both legs, dissected"),
    PageEntry(Page.NODE, "Node", "Addresses and who put them there, drift, sysctls"),
    PageEntry(Page.CHECK, "Check", "What works on this machine, and why the rest does not"),
)

CHECK_HEADINGS = (
    Heading("What"),
    Heading("Works"),
    Heading("Found"),
    Heading("Without it"),
    Heading("What to do"),
)
"""Under these stand the lines of the last page, whoever makes them."""


def with_check(shot: Snapshot, lines: tuple[Line, ...]) -> Snapshot:
    """The answer with the page that no pipeline can fill."""
    if shot.query.page is not Page.CHECK:
        return shot
    query = shot.query
    sheet = sheet_of(CHECK_HEADINGS, lines, query.start, query.height, query.row)
    at = sheet.selected_at
    detail = detail_from(CHECK_HEADINGS, lines[at]) if at >= 0 else None
    return replace(shot, sheet=sheet, detail=detail, missing="Looking at this machine…")
