"""The ledger: every finding that is open, and the latest that were."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tracer.diagnosis.finding import Evidence, Finding

Serials = npt.NDArray[np.uint32]
"""Ledger numbers of findings, one for each flow; 0 is none."""
Key = tuple[str, tuple[object, ...]]

NOT_KEPT = 0
"""Serial of a finding the ledger had no room for."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to findings in one step; one that came and went in it is only ``closed``."""

    opened: tuple[Finding, ...] = ()
    updated: tuple[Finding, ...] = ()
    closed: tuple[Finding, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.updated or self.closed)


@dataclass(slots=True)
class _Entry:
    finding: Finding
    serial: int
    from_state: bool
    standing: int = 0
    """Flows this finding explains and that have not been answered since."""


@dataclass(slots=True)
class _Step:
    """What changed since the last drain, by key; one entry however often it was touched."""

    opened: dict[Key, None] = field(default_factory=dict)
    updated: dict[Key, None] = field(default_factory=dict)
    closed: list[Finding] = field(default_factory=list)


def key_of(finding: Finding) -> Key:
    """Identity of a finding: its cause and its subject."""
    return finding.cause, finding.subject.key


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, then the oldest; consequences behind their root."""
    found = sorted(findings, key=lambda finding: (-finding.severity, finding.since_ns))
    first = {f.cause: place for place, f in reversed(list(enumerate(found)))}
    order = [
        (first[f.consequence_of], 1, place) if f.consequence_of in first else (place, 0, place)
        for place, f in enumerate(found)
    ]
    return [found[place] for _, _, place in sorted(order)]


class Ledger:
    """One finding per cause and subject, with counts; bounded, and bounds are counted.

    Memory follows the number of findings, never of flows: which finding explains a
    flow stands in the flow's own row, so distinct flows are counted without a set.
    """

    def __init__(
        self, max_open: int = 5000, max_closed: int = 1000, max_evidence: int = 10
    ) -> None:
        self._open: dict[Key, _Entry] = {}
        self._closed: OrderedDict[Key, _Entry] = OrderedDict()
        self._by_serial: dict[int, Key] = {}
        self._max_open, self._max_closed = max_open, max_closed
        self._max_evidence = max_evidence
        self._next_serial = 1
        self._counts: Counter[str] = Counter()
        self._step = _Step()
        self.overflow: Counter[str] = Counter()
        """Times a new finding could not be kept because too many are open, by cause."""
        self.forgotten: Counter[str] = Counter()
        """Closed findings no longer listed, by cause; ``counts`` still has them."""

    def open(self) -> list[Finding]:
        """Open findings, the gravest first, then the oldest; consequences behind their root."""
        return ranked(entry.finding for entry in self._open.values())

    def closed(self) -> list[Finding]:
        """The latest closed findings, in the order of their closing."""
        return [entry.finding for entry in self._closed.values()]

    def by_serial(self, serial: int) -> Finding | None:
        """The finding with this number, open or closed; None when it is no longer listed."""
        key = self._by_serial.get(serial)
        if key is None:
            return None
        entry = self._open.get(key) or self._closed.get(key)
        return entry.finding if entry else None

    def counts(self) -> Mapping[str, int]:
        """Distinct findings so far by cause, closed ones included, those not kept too."""
        total = self._counts + self.overflow
        return {cause: number for cause, number in sorted(total.items()) if number}

    def absorb_state(self, findings: Iterable[Finding], now_ns: int) -> None:
        """Take everything state rules find now; what they found before and not now closes."""
        standing: set[Key] = set()
        for finding in findings:
            key = key_of(finding)
            standing.add(key)
            entry = self._open.get(key)
            if entry is None:
                entry = self._begin(key, replace(finding, last_ns=now_ns))
            else:
                current = replace(entry.finding, summary=finding.summary, remedy=finding.remedy)
                self._merge(key, entry, finding, base=current)
            if entry is not None:
                entry.from_state = True
        for key, entry in list(self._open.items()):
            if entry.from_state and key not in standing:
                self._end(key, now_ns)

    def absorb_flows(self, finding: Finding, before: Serials) -> int:
        """Take a finding about flows; ``before`` is what explained each of them until now.

        Returns the serial to note in their rows. Flows that a closed finding of the
        same kind explained do not open it again by themselves.
        """
        key = key_of(finding)
        entry = self._open.get(key)
        former = self._closed.get(key)
        if entry is None and former is not None and bool((before == former.serial).all()):
            return former.serial
        if entry is None:
            entry = self._begin(key, finding)
            fresh = len(before)
        else:
            fresh = int(np.count_nonzero(before != entry.serial))
            self._merge(key, entry, finding, fresh)
        if entry is None:
            return NOT_KEPT
        entry.standing += fresh
        return entry.serial

    def withdraw(self, serial: int, flows: int, now_ns: int, *, superseded: bool) -> None:
        """These many flows turned out well, or (``superseded``) are explained otherwise."""
        key = self._by_serial.get(serial)
        entry = self._open.get(key) if key is not None else None
        if key is None or entry is None or entry.serial != serial:
            return
        entry.standing = max(0, entry.standing - flows)
        if entry.standing == 0 and not entry.from_state:
            self._end(key, now_ns, keep=not superseded)
            return
        finding = entry.finding
        least = 0 if entry.from_state else 1
        entry.finding = replace(finding, count=max(least, finding.count - flows))
        self._step.updated[key] = None

    def close_cured(self, holds: Callable[[Finding], bool], now_ns: int) -> None:
        """Close each finding about flows that no longer holds."""
        for key, entry in list(self._open.items()):
            if not entry.from_state and not holds(entry.finding):
                self._end(key, now_ns)

    def open_from_flows(self) -> list[Finding]:
        """Open findings that flows can cure."""
        return [entry.finding for entry in self._open.values() if not entry.from_state]

    def drain(self) -> Changes:
        """What changed since the last call."""
        step, self._step = self._step, _Step()
        opened = [self._open[key].finding for key in step.opened if key in self._open]
        updated = [
            self._open[key].finding
            for key in step.updated
            if key in self._open and key not in step.opened
        ]
        return Changes(tuple(opened), tuple(updated), tuple(step.closed))

    def _begin(self, key: Key, finding: Finding) -> _Entry | None:
        if len(self._open) >= self._max_open:
            self.overflow[finding.cause] += 1
            return None
        former = self._closed.pop(key, None)
        if former is None:
            self._counts[finding.cause] += 1
        else:
            del self._by_serial[former.serial]
        kept = replace(finding, evidence=finding.evidence[: self._max_evidence], open=True)
        entry = _Entry(kept, self._next_serial, from_state=False)
        self._next_serial += 1
        self._open[key] = entry
        self._by_serial[entry.serial] = key
        self._step.opened[key] = None
        return entry

    def _merge(
        self, key: Key, entry: _Entry, new: Finding, fresh: int = 0, base: Finding | None = None
    ) -> None:
        """The surer summary stays; times widen; evidence is added while there is room."""
        old = base or entry.finding
        surer = new if new.confidence > old.confidence else old
        merged = replace(
            old,
            severity=max(old.severity, new.severity),
            confidence=surer.confidence,
            summary=surer.summary,
            remedy=surer.remedy,
            since_ns=min(old.since_ns, new.since_ns),
            last_ns=max(old.last_ns, new.last_ns),
            evidence=_joined(old.evidence, new.evidence, self._max_evidence),
            count=old.count + fresh,
            subject=new.subject if old.subject.flow is None else old.subject,
        )
        if merged != entry.finding:
            entry.finding = merged
            self._step.updated[key] = None

    def _end(self, key: Key, now_ns: int, *, keep: bool = True) -> None:
        entry = self._open.pop(key)
        self._step.opened.pop(key, None)
        entry.finding = replace(entry.finding, open=False)
        self._step.closed.append(entry.finding)
        if not keep:
            self._counts[entry.finding.cause] -= 1
            del self._by_serial[entry.serial]
            return
        self._closed[key] = entry
        while len(self._closed) > self._max_closed:
            _, gone = self._closed.popitem(last=False)
            del self._by_serial[gone.serial]
            self.forgotten[gone.finding.cause] += 1


def _joined(
    old: tuple[Evidence, ...], new: tuple[Evidence, ...], limit: int
) -> tuple[Evidence, ...]:
    added = tuple(line for line in new if line not in old)
    return (old + added)[:limit]
