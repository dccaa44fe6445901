"""The bcc probes as a source: drained blocks become event columns with text ids.

Blocks are viewed, never decoded record by record. Only DROP and TABLE records, which
are few kinds of values, have numbers exchanged for text ids, by distinct value.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from probes.attachments import HookState, Report
from probes.errors import ProbeError
from probes.hooks import is_harmless
from probes.kernel import Kernel
from probes.loader import Loader, Prefix
from tracer.clock import monotonic_offset_ns, wall_ns
from tracer.errors import UnableError
from tracer.events import EVENT, EventBatch, EventRows, Hook, Loss, Origin, no_records
from tracer.names import Names
from tracer.settings import LiveSettings
from tracer.sources import Problem

SLOT = np.dtype([("header", "<u8"), ("event", EVENT)])
"""One slot of the ring as ``probes`` hands it out."""

_INTERVAL_S = 0.02
"""Between two looks into the ring; submitting wakes nobody, which is why probes are cheap."""
_SETTLE_NS = 5_000_000
"""A record stamped earlier than this before a drain has been submitted by then."""
_RETRY_S = 5.0
"""Between two looks for modules loaded since."""


class KernelSource:
    """Decisions of the kernel, as its own functions make them."""

    name = "kernel"

    def __init__(self, settings: LiveSettings, texts: Names, loader: Loader | None = None) -> None:
        self._loader = loader or Loader(deep=settings.deep)
        if not settings.all_namespaces:
            self._loader.set_netns([os.stat("/proc/self/ns/net").st_ino])
        self._translator = Translator(texts, Kernel(), self._loader)
        self._last_drain_s = self._last_retry_s = 0.0
        self._attaches, self._came_late = True, False

    def problems(self) -> list[Problem]:
        """Decision hooks that are not attached, by reason."""
        reasons: dict[str, list[str]] = {}
        for state in self._loader.report().hooks:
            if state.problem and not _is_no_loss(state):
                reasons.setdefault(state.problem, []).append(state.id)
        found = [Problem(", ".join(ids), why) for why, ids in reasons.items()]
        if self._came_late:
            why = "the right to attach was given up before"
            found.append(Problem("kernel modules loaded since are not probed", why, "start again"))
        return found

    def open(self) -> None:
        """Attach; UnableError says what this kernel or these privileges lack."""
        try:
            self._loader.open()
        except ProbeError as error:
            raise UnableError(error.what, error.why, error.remedy) from error
        self._last_retry_s = time.monotonic()

    def read(self, timeout: float) -> EventBatch | None:
        """What the ring holds; waits for the first record, at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        self._retry_missing()
        while True:
            pause = self._last_drain_s + _INTERVAL_S - time.monotonic()
            if pause > 0:
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            until_ns = wall_ns() - _SETTLE_NS
            block = self._loader.drain()
            self._last_drain_s = time.monotonic()
            if block or self._last_drain_s >= deadline:
                return self._batch(block, until_ns)

    def _batch(self, block: bytes, until_ns: int) -> EventBatch:
        records = self._translator.records(block) if block else no_records()
        return EventBatch(
            records,
            Origin.KERNEL,
            until_ns,
            lost=Loss(kernel=self._loader.lost()),
            texts=self._translator.new_texts(),
        )

    def last_probes(self) -> None:
        """The right to attach is about to be given up; modules that come later are told of."""
        self._attaches = False

    def _retry_missing(self) -> None:
        now = time.monotonic()
        if now - self._last_retry_s >= _RETRY_S:
            self._last_retry_s = now
            if not self._attaches:
                self._came_late = self._came_late or self._loader.modules_changed()
            elif self._loader.retry_missing():
                self._translator.kernel = Kernel()

    def set_watched(self, prefixes: Iterable[Prefix] | None) -> None:
        """Addresses (16 bytes, bits out of 128) that matter untranslated; None means all."""
        self._loader.set_watched(prefixes)

    def arm(self, ids: Collection[str]) -> None:
        """Attach per-packet hooks, for a flow under suspicion."""
        self._loader.arm(ids)

    def disarm(self, ids: Collection[str]) -> None:
        """Detach them again."""
        self._loader.disarm(ids)

    def report(self) -> Report:
        """Hook by hook, with start-up times and counters."""
        return self._loader.report()

    def close(self) -> None:
        """Detach every probe."""
        self._loader.close()


def _is_no_loss(state: HookState) -> bool:
    """Whether what a hook would tell cannot happen here: nothing uses the module it is in."""
    unused = state.problem.startswith("module ") and "nf_conntrack" not in state.problem
    return unused or state.id.startswith("engine:")


class NameKeeper(Protocol):
    """What a translator asks the probes for."""

    @property
    def drop_reasons(self) -> Mapping[int, str]:
        """Names of drop reasons by number."""

    def label(self, address: int) -> str:
        """Name of the table or chain at a kernel address."""

    def quieten(self, location: int, reason: int) -> None:
        """No DROP record any more from this code address for this reason number."""


class Translator:
    """Kernel numbers to the vocabulary: wall time, reason names, locations, labels."""

    def __init__(self, texts: Names, kernel: Kernel, loader: NameKeeper) -> None:
        self._texts, self._loader = texts, loader
        self.kernel = kernel
        """Where addresses are located; replaced when modules have been loaded."""
        self._reasons: npt.NDArray[np.uint16] | None = None
        self._addresses: dict[int, int] = {}
        self._labels: dict[int, int] = {}
        self._new: dict[int, str] = {}

    def records(self, block: bytes) -> EventRows:
        """Whole slots as EVENT rows."""
        # As bytes: NumPy would copy a structured column field by field.
        slots = np.frombuffer(block, dtype=np.uint8).reshape(-1, SLOT.itemsize)
        records: EventRows = slots[:, -EVENT.itemsize :].copy().view(EVENT).reshape(-1)
        records["time_ns"] += monotonic_offset_ns()
        records = self._without_harmless(records)
        drops = np.flatnonzero(records["hook"] == Hook.DROP)
        if len(drops):
            reasons = np.minimum(records["reason"][drops], len(self._reason_ids()) - 1)
            records["reason"][drops] = self._reason_ids()[reasons]
            self._exchange(records, drops, self._addresses, self.kernel.locate)
        tables = np.flatnonzero(records["hook"] == Hook.TABLE)
        if len(tables):
            self._exchange(records, tables, self._labels, self._loader.label)
        return records

    def new_texts(self) -> dict[int, str]:
        """Text ids given since the last call."""
        new, self._new = self._new, {}
        return new

    def _without_harmless(self, records: EventRows) -> EventRows:
        """Without packets freed but not lost; the probe learns not to tell them again."""
        is_drop = records["hook"] == Hook.DROP
        kinds = np.unique(records[["detail", "reason"]][is_drop])
        for location, reason in kinds.tolist():
            name = self._loader.drop_reasons.get(reason, "")
            if is_harmless(self.kernel.locate(location), name):
                self._loader.quieten(location, reason)
                same = (records["detail"] == location) & (records["reason"] == reason)
                is_kept = ~(same & (records["hook"] == Hook.DROP))
                records = records[is_kept]
        return records

    def _exchange(
        self,
        records: EventRows,
        rows: npt.NDArray[np.intp],
        known: dict[int, int],
        text_of: Callable[[int], str],
    ) -> None:
        """Text ids for the addresses in ``detail``; loops over distinct addresses only."""
        distinct, places = np.unique(records["detail"][rows], return_inverse=True)
        for address in distinct.tolist():
            if address not in known:
                known[address] = self._number(text_of(address))
        numbers = np.array([known[address] for address in distinct.tolist()], dtype=np.uint64)
        records["detail"][rows] = numbers[places]

    def _reason_ids(self) -> npt.NDArray[np.uint16]:
        """Text id by reason number; the last entry serves numbers without a name."""
        if self._reasons is None:
            names = self._loader.drop_reasons.items()
            core = {number: name for number, name in names if number < 1 << 12}
            ids = np.zeros(max(core, default=0) + 2, dtype=np.uint16)
            for number, name in core.items():
                ids[number] = self._number(name)
            self._reasons = ids
        return self._reasons

    def _number(self, text: str) -> int:
        number = self._texts.number(text)
        if number:
            self._new[number] = text
        return number
