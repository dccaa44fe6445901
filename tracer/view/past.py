"""Flows and findings at a moment that is over, as far as what is kept tells."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from tracer.diagnosis.finding import Finding
from tracer.flow import Flows, Rows, Seen
from tracer.flows.state import settle

CLOSINGS_KEPT = 1000
_ANSWERED = Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT | Seen.REPLIED | Seen.ASSURED


def flows_at(flows: Flows, rows: Rows, at_ns: int) -> npt.NDArray[np.void]:
    """A copy of the rows that had begun, without the answers and ends that came later.

    Rows do not tell when a packet was counted, dropped or refused, nor when conntrack
    saw an answer that no packet showed: those are as of now.
    """
    past = flows[rows[flows["first_ns"][rows] <= at_ns]]
    later = {"ended_ns": Seen.ENDED, "answer_ns": _ANSWERED}
    for column, bits in later.items():
        undone = np.flatnonzero(past[column] > at_ns)
        past[column][undone] = 0
        past["seen"][undone] &= ~np.uint32(bits)
        settle(past, undone)
    np.minimum(past["last_ns"], at_ns, out=past["last_ns"])
    return past


class Closings:
    """When findings closed: the ledger keeps what they say, not that moment."""

    def __init__(self) -> None:
        self._at: OrderedDict[tuple[str, tuple[object, ...]], int] = OrderedDict()

    def note(self, closed: tuple[Finding, ...], now_ns: int) -> None:
        """These have just closed."""
        for finding in closed:
            key = finding.cause, finding.subject.key
            self._at[key] = now_ns
            self._at.move_to_end(key)
        while len(self._at) > CLOSINGS_KEPT:
            self._at.popitem(last=False)

    def open_at(self, finding: Finding, at_ns: int) -> bool:
        """Whether a finding, open or closed by now, was open at that moment."""
        closed_ns = self._at.get((finding.cause, finding.subject.key), finding.last_ns)
        return finding.since_ns <= at_ns and (finding.open or at_ns < closed_ns)
