"""When a flow or a finding deserves a line: promptly, and once unless asked for more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.cells import Gathered, Naming, flows_by_cause, translated
from tracer.diagnosis.finding import Finding
from tracer.filters import Filter
from tracer.flow import Flows, Rows, State
from tracer.index import ascending

PATIENCE_NS = 1_000_000_000
"""Record time a flow may wait for its answer before its line is printed anyway."""
FINDING_PAUSE_NS = 1_000_000_000
"""Record time between two lines of one finding."""

Table = Flows
"""Shape (capacity,), dtype ``FLOW``: all rows, living or not."""

_SETTLED = np.zeros(256, dtype=np.bool_)
_SETTLED[
    [State.ANSWERED, State.ESTABLISHED, State.CLOSING, State.CLOSED, State.REFUSED, State.LOST]
] = True


class DueFlows:
    """Decides which rows to print; remembers by row and id, never an object per flow."""

    def __init__(
        self,
        all_flows: bool = False,
        updates: bool = False,
        chosen: Filter | None = None,
        *,
        none: bool = False,
    ) -> None:
        """``none``: no flow is ever due."""
        self._none = none
        self._all_flows = all_flows
        self._updates = updates
        self._chosen = chosen
        self._printed: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        """By row: id of the flow whose line is out."""
        self._waiting: Rows = np.zeros(0, dtype=np.intp)

    def take(self, flows: Table, changed: Rows, naming: Naming) -> Rows:
        """Rows to print now: settled ones, and those that have waited long enough.

        One whose backend has left the slices waits as well: news of its return may be on the way.
        So does one of which a slower source may have more to say: packets may show the answer
        before the kernel's record of the source address is here.

        With updates every change of a flow is due.
        """
        if self._none:
            return changed[:0]
        self._reserve(len(flows))
        if self._updates:
            return self._mark(flows, self._wanted(flows, changed, naming))
        fresh = changed[self._printed[changed] != flows["id"][changed]]
        candidates = ascending(np.concatenate([self._waiting, fresh]))
        candidates = candidates[self._printed[candidates] != flows["id"][candidates]]
        ready = flows["first_ns"][candidates] + PATIENCE_NS <= naming.now_ns
        told = flows["last_ns"][candidates] <= naming.now_ns
        settled = np.flatnonzero(~ready & told & _SETTLED[flows["state"][candidates]])
        ready[settled] = _in_the_slices(Gathered(flows, candidates[settled]), naming)
        self._waiting = candidates[~ready]
        return self._mark(flows, self._wanted(flows, candidates[ready], naming))

    def rest(self, flows: Table, alive: Rows, naming: Naming) -> Rows:
        """Rows to print at the end: those still unprinted, and with updates every living one."""
        if self._none:
            return alive[:0]
        self._reserve(len(flows))
        wanted = self._wanted(flows, alive, naming)
        self._waiting = self._waiting[:0]
        if self._updates:
            unfinished: Rows = wanted[flows["ended_ns"][wanted] == 0]
            return unfinished
        return self._mark(flows, wanted[self._printed[wanted] != flows["id"][wanted]])

    def _wanted(self, flows: Table, rows: Rows, naming: Naming) -> Rows:
        if not self._all_flows:
            rows = rows[translated(Gathered(flows, rows))]
        if self._chosen is not None and rows.size:
            asked = Gathered(flows, rows)
            rows = rows[self._chosen.mask(asked, naming, flows_by_cause(asked, naming))]
        return rows

    def _mark(self, flows: Table, rows: Rows) -> Rows:
        self._printed[rows] = flows["id"][rows]
        by_age: Rows = rows[np.lexsort((flows["id"][rows], flows["first_ns"][rows]))]
        return by_age

    def _reserve(self, capacity: int) -> None:
        if capacity > len(self._printed):
            grown = np.zeros(capacity, dtype=np.uint64)
            grown[: len(self._printed)] = self._printed
            self._printed = grown


def _in_the_slices(flows: Gathered, naming: Naming) -> npt.NDArray[np.bool_]:
    """Those of no departed backend: kube-proxy may have heard of its return before us."""
    gone = naming.departed_s(flows)
    return np.fromiter((since is None for since in gone), np.bool_, len(gone))


class DueFindings:
    """Decides when a finding is printed again: at most once a second, and only for news."""

    def __init__(self) -> None:
        self._printed: dict[tuple[object, ...], tuple[Finding, int]] = {}
        """By cause and subject: the finding as printed, and when."""
        self._held: dict[tuple[object, ...], Finding] = {}
        """News that came too soon after the last line."""

    def take(self, news: tuple[Finding, ...], now_ns: int) -> list[Finding]:
        """Findings to print now; openings and closings never wait."""
        self._held.update({_identity(finding): finding for finding in news})
        due = [f for key, f in self._held.items() if self._is_due(key, f, now_ns)]
        for finding in due:
            self._settle(finding, now_ns)
        return due

    def rest(self) -> list[Finding]:
        """Everything held back, for the end."""
        left, self._held = list(self._held.values()), {}
        return [finding for finding in left if self._is_news(_identity(finding), finding)]

    def _settle(self, finding: Finding, now_ns: int) -> None:
        key = _identity(finding)
        del self._held[key]
        if finding.open:
            self._printed[key] = (finding, now_ns)
        else:
            self._printed.pop(key, None)

    def _is_due(self, key: tuple[object, ...], finding: Finding, now_ns: int) -> bool:
        if key not in self._printed or not finding.open:
            return True
        rested = now_ns - self._printed[key][1] >= FINDING_PAUSE_NS
        return rested and self._is_news(key, finding)

    def _is_news(self, key: tuple[object, ...], finding: Finding) -> bool:
        if key not in self._printed:
            return True
        last = self._printed[key][0]
        told = (last.severity, last.summary, last.remedy)
        more = finding.count >= 2 * last.count
        return more or told != (finding.severity, finding.summary, finding.remedy)


def _identity(finding: Finding) -> tuple[object, ...]:
    return (finding.cause, *finding.subject.key)
