"""Sources: where records come from.

A source says whether it can run (``problems``), is opened, read until ``None``,
and closed. ``kernel`` reads the bcc probes, ``conntrack`` reads ctnetlink and the
kernel's tables, ``sniff`` reads scapy's AF_PACKET sockets, ``capture`` reads
capture files with their side files, ``recording`` reads recordings. No source knows a
sink or another source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tracer.events import EventBatch

if TYPE_CHECKING:
    # The form of recordings takes longer to load than all that a plain capture needs.
    from tracer.recording import StateAt


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a source cannot do here, and what would let it."""

    what: str
    why: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f" ({self.remedy})" if self.remedy else "")


class Source(Protocol):
    """A producer of batches, owned and driven by one reader thread."""

    name: str

    def problems(self) -> list[Problem]:
        """What is missing or degraded; may grow after ``open``."""

    def open(self) -> None:
        """Get ready; raises TracerError where this cannot run at all."""

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """The next batch, at the latest after ``timeout`` seconds (then empty); None at the end.

        A recording has the states of node and cluster between them.
        """

    def close(self) -> None:
        """Give everything back; safe to call twice."""
