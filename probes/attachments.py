"""Compiled programs on their kernel functions, each held by one file descriptor."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from probes import syscalls
from probes.hooks import BY_ID, HOOKS, Kind
from probes.kernel import Kernel
from probes.program import Planned, Program, with_partners


class Module(Protocol):
    """One compiled C text with its maps."""

    def load(self, function: str, kind: Kind) -> int:
        """Verify one program and give its descriptor; OSError when the kernel refuses it."""

    def update(self, name: str, key: bytes, value: bytes) -> None:
        """Set a key of a map."""

    def delete(self, name: str, key: bytes) -> None:
        """Remove a key of a map."""

    def lookup(self, name: str, key: bytes, size: int) -> bytes | None:
        """Value of a key of a map."""

    def open_events(self, ring_bytes: int) -> None:
        """Get ready to drain."""

    def drain(self) -> bytes:
        """Whole slots (8-byte header and record) that have come since."""

    def close(self) -> None:
        """Give programs and maps back."""


Attach = Callable[[Planned, int], int]
"""Attach the program of this descriptor; the result's closing detaches it."""


@dataclass(frozen=True, slots=True)
class HookState:
    """What became of one hook."""

    id: str
    symbol: str
    """The kernel function it is attached to; empty when it is not attached."""
    problem: str
    """Why it is not attached; empty when it is, or was not asked for."""


@dataclass(frozen=True, slots=True)
class Report:
    """How probing stands."""

    way: str
    """What the programs were compiled against, and why not against BTF alone."""
    hooks: tuple[HookState, ...]
    seconds: Mapping[str, float]
    """Start-up by step: btf, symbols, plan, compile, load, attach."""
    counters: Mapping[str, int]
    """Records sent, records lost, return probes missed."""


class Stopwatch:
    """Seconds by step; a step that runs often adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is inside."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


class Attachments:
    """The links of one module. Closing every link is all it takes to detach."""

    def __init__(
        self, module: Module, program: Program, attach: Attach, stopwatch: Stopwatch
    ) -> None:
        self.module = module
        self.program = program
        """May be replaced by one of the same text, after new symbols have appeared."""
        self._attach_link = attach
        self._stopwatch = stopwatch
        self._links: dict[str, int] = {}
        self._programs: dict[str, int] = {}
        self._problems: dict[str, str] = {}

    def hears_flows(self) -> bool:
        """Whether any kernel function is probed: tracepoints alone tell drops, but no flow."""
        return any(BY_ID[name].kind is not Kind.RAW_TRACEPOINT for name in self._links)

    def attach(self, ids: Collection[str]) -> None:
        """Attach hooks and their partners, return probes before their entry probes."""
        wanted = {hook.id for hook in with_partners(ids)} - self._links.keys()
        rows = [row for row in self.program.plan if row.hook.id in wanted]
        rows.sort(key=lambda row: row.hook.kind is not Kind.RETURN)
        for row in rows:
            problem = row.problem or self._attach_one(row)
            self._problems[row.hook.id] = problem
        self._drop_halves()

    def _attach_one(self, row: Planned) -> str:
        """The reason why it failed; empty when it is attached."""
        function = row.hook.function
        try:
            if function not in self._programs:
                with self._stopwatch.step("load"):
                    self._programs[function] = self.module.load(function, row.hook.kind)
            with self._stopwatch.step("attach"):
                self._links[row.hook.id] = self._attach_link(row, self._programs[function])
        except OSError as error:
            return _why_not(row, error)
        return ""

    def _drop_halves(self) -> None:
        """An entry probe without its return probe, or the reverse, only costs."""
        for hook in HOOKS:
            for one, other in ((hook.id, hook.partner), (hook.partner, hook.id)):
                if hook.partner and one in self._links and other not in self._links:
                    os.close(self._links.pop(one))
                    self._problems[one] = f"useless without {other}: {self._problems[other]}"

    def detach(self, ids: Collection[str]) -> None:
        """Detach hooks and their partners."""
        for hook in with_partners(ids):
            self._problems.pop(hook.id, None)
            if hook.id in self._links:
                os.close(self._links.pop(hook.id))

    def states(self) -> tuple[HookState, ...]:
        """Every hook of the table, in its order."""
        symbols = {row.hook.id: row.symbol for row in self.program.plan}
        return tuple(
            HookState(
                hook_id,
                symbols[hook_id] if hook_id in self._links else "",
                self._problems.get(hook_id, ""),
            )
            for hook_id in BY_ID
        )

    def close(self) -> None:
        """Detach everything; the module is closed with it."""
        for fd in self._links.values():
            os.close(fd)
        self._links.clear()
        self.module.close()


def attach_by_descriptor(planned: Planned, program_fd: int) -> int:
    """Attach to the kernel for as long as the descriptor is open."""
    if planned.hook.kind is Kind.RAW_TRACEPOINT:
        return syscalls.open_raw_tracepoint(planned.symbol, program_fd)
    at_return = planned.hook.kind is Kind.RETURN
    try:
        return syscalls.open_kprobe(planned.symbol, program_fd, at_return)
    except OSError as error:
        # 6.1.60 and 6.6.0 know functions of modules by address only.
        address = Kernel().address(planned.symbol)
        if error.errno not in (errno.ENOENT, errno.EADDRNOTAVAIL) or not address:
            raise
        return syscalls.open_kprobe(address, program_fd, at_return)


def _why_not(row: Planned, error: OSError) -> str:
    """A sentence from the errno of loading or attaching."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"the kernel refused {row.symbol}: no permission, or the verifier said no"
    if error.errno in (errno.ENOENT, errno.EADDRNOTAVAIL):
        return f"the kernel does not let {row.symbol} be probed"
    return f"attaching to {row.symbol} failed: {error.strerror}"
