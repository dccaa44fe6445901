"""The question a screen asks and the answer it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tracer.detail import Detail
from tracer.diagnosis.finding import Finding
from tracer.events import Loss
from tracer.view.sheet import Sheet
from tracer.view.tape import Tape
from tracer.view.trends import Trends


class Page(StrEnum):
    """What the screen shows; in the order of the keys 1, 2, …"""

    TRANSLATIONS = "translations"
    BLACKHOLES = "blackholes"
    SERVICES = "services"
    EVENTS = "events"
    PACKETS = "packets"
    NODE = "node"
    CHECK = "check"
    """What works on this machine: nothing a pipeline knows, so its owner fills it in."""


@dataclass(frozen=True, slots=True)
class ViewQuery:
    """What the screen wants to see."""

    filter: str = ""
    order: str = "age"
    """Name of a column that has an order."""
    descending: bool = False
    start: int = 0
    """First position of the window of rows wanted as text."""
    height: int = 50
    selected: int = 0
    """Id of the flow whose details are wanted; 0 none."""
    frozen: bool = False
    """Flows as they were when this was first asked; findings and rates stay live."""
    all_flows: bool = False
    """Flows that this node does not translate, too."""
    page: Page = Page.TRANSLATIONS
    group: str = ""
    """Flows counted by ``service``, ``client``, ``backend`` or ``node`` instead of listed."""
    row: int = 0
    """Id of the selected row of a page that does not list flows; 0 none."""
    mark: int = 0
    """Rows with a higher id are counted as fresh; 0 counts none."""

    all_traffic: bool = False
    """Events and packets of all flows, even while one is selected."""
    until: int = -1
    """Events or packets up to this id only, for a frozen page; negative: no limit."""

    at_ns: int = 0
    """Flows, events, packets and findings as of this moment; 0 for now."""
    names: bool = False
    """Whether names for completion are wanted."""

    @property
    def chosen(self) -> int:
        """Id of the row that is selected on this page."""
        lists_flows = self.page is Page.TRANSLATIONS and not self.group
        return self.selected if lists_flows else self.row


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run's owner knows beside its pipeline; empty where there is nothing to say."""

    names: str = ""
    """Where names are from, and how old they are: ``API 3s``."""
    recording: str = ""
    """The file that is being written, and its size."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answer to one query at one moment."""

    query: ViewQuery
    now_ns: int = 0
    sheet: Sheet = field(default_factory=Sheet)
    """The rows of the page, as far as wanted."""
    total: int = 0
    """Flows before the filter."""
    of_flow: str = ""
    """The one flow that events or packets are of; empty for all."""
    missing: str = ""
    """Why the page has no rows."""
    detail: Detail | None = None
    """All about the selected row."""
    open: tuple[Finding, ...] = ()
    """The gravest ones, then the oldest."""
    open_count: int = 0
    critical_count: int = 0
    """Open findings of that severity."""
    closed: tuple[Finding, ...] = ()
    packets: int = 0
    events: int = 0
    damaged: int = 0
    lost: Loss = field(default_factory=Loss)
    packet_rate: float = 0.0
    """Packets per second of record time."""
    event_rate: float = 0.0
    trends: Trends = field(default_factory=Trends)
    node: str = ""
    proxy_mode: str = ""
    backend: str = ""
    degraded: tuple[str, ...] = ()
    standing: Standing = field(default_factory=Standing)
    tape: Tape = field(default_factory=Tape)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Values by term of a filter, if wanted."""
    error: str = ""
    """Why the filter could not be used; then every row is shown."""
