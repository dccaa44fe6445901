"""Compile, attach everything, open the gate, drain, detach. The only file that loads bcc."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probes import headers, syscalls
from probes.attachments import (
    Attach,
    Attachments,
    Module,
    Report,
    Stopwatch,
    attach_by_descriptor,
)
from probes.errors import ProbeError
from probes.hooks import DECISIONS, PER_PACKET, Kind
from probes.kernel import Kernel
from probes.program import Program, prepare, with_partners
from probes.refusal import refuse_where_impossible
from probes.ring import Ring, as_slots

RECORD_BYTES = 128
SLOT_BYTES = 8 + RECORD_BYTES
MOST_WATCHED = 30_000
"""Half of what the kernel's map holds: old and new prefixes share it during a change."""
_DISTRIBUTION_FOLDERS = ("/usr/lib/python3/dist-packages", "/usr/lib/python3/site-packages")
_COUNTERS = ("lost", "missed", "sent")
"""Order of ``enum counter`` in ``bpf/common.h``."""

Prefix = tuple[bytes, int]
"""16 address bytes (IPv4 mapped) and the prefix length out of 128."""


class Loader:
    """The probes of one run: ``open`` attaches, ``close`` (or death) leaves nothing behind."""

    def __init__(
        self,
        deep: bool = False,
        ring_bytes: int = 8 << 20,
        root: Path = Path("/"),
        compile_text: Callable[[str], Module] | None = None,
        attach: Attach | None = None,
    ) -> None:
        self._wish = {*DECISIONS, *(PER_PACKET if deep else ())}
        self._ring_bytes, self._root = ring_bytes, root
        self._compile = compile_text or BccModule
        self._attach = attach or attach_by_descriptor
        self._stopwatch = Stopwatch()
        self._attachments: Attachments | None = None
        self._modules_seen: frozenset[str] = frozenset()
        self._watched: frozenset[Prefix] | None = None
        self._netns: frozenset[int] = frozenset()
        self.drop_reasons: Mapping[int, str] = {}
        """Names of the reasons in DROP records, by this kernel's numbers; known once open."""
        self._quiet: set[bytes] = set()
        self._way = ""
        self._left_over = b""
        self._lost_before = self._lost_told = 0

    def open(self) -> None:
        """Compile, attach all, open the gate last; ProbeError when nothing can be probed."""
        kernel = Kernel(self._root)
        refuse_where_impossible(kernel)
        with self._stopwatch.step("btf"):
            _ = kernel.types
        with self._stopwatch.step("symbols"):
            _ = kernel.symbols
        with self._stopwatch.step("plan"):
            program = self._prepare(kernel)
        self._attachments = self._start(kernel, program)
        self.drop_reasons = kernel.drop_reasons

    def _prepare(self, kernel: Kernel) -> Program:
        self._modules_seen = kernel.modules_seen
        pages = self._ring_bytes // os.sysconf("SC_PAGE_SIZE")
        deep = not self._wish.isdisjoint(PER_PACKET)
        return prepare(kernel, pages, syscalls.has_ring_buffer(), deep)

    def _start(self, kernel: Kernel, program: Program) -> Attachments:
        """Compiled, attached and with its gate open; nothing stays when it fails."""
        with self._stopwatch.step("compile"):
            module = self._compiled(program, kernel)
        attachments = Attachments(module, program, self._attach, self._stopwatch)
        try:
            module.open_events(self._ring_bytes)
            attachments.attach(self._wish)
            if not attachments.hears_flows():
                problems = [state.problem for state in attachments.states() if state.problem]
                raise ProbeError("no probe could be attached", "; ".join(dict.fromkeys(problems)))
            for inode in self._netns:
                module.update("namespaces", struct.pack("=I", inode), b"\1")
            for prefix in self._watched or ():
                module.update("watched", _prefix_key(prefix), b"\1")
            for key in self._quiet:
                module.update("quiet", key, b"\1")
            self._open_gate(module)
        except BaseException:
            attachments.close()
            raise
        return attachments

    def _compiled(self, program: Program, kernel: Kernel) -> Module:
        """Compile without headers; with installed ones where that fails or BTF is missing."""
        why = kernel.types_problem
        if kernel.types is not None:
            try:
                with headers.synthetic(kernel.release):
                    module = self._compile(program.text)
                self._way = "types from BTF, no kernel headers"
                return module
            except CompileError as error:
                why = error.why
        place = headers.installed(self._root, kernel.release)
        if place is None:
            raise ProbeError(
                "the probes cannot be compiled",
                f"{why}, and no kernel headers are installed",
                f"boot a kernel with BTF, or install the headers of {kernel.release}",
            )
        self._way = f"kernel headers in {place} ({why})"
        return self._compile(program.text)

    def _open_gate(self, module: Module) -> None:
        value = struct.pack("=IIII", 1, self._watched is None, not self._netns, 0)
        module.update("settings", bytes(4), value)

    def set_watched(self, prefixes: Iterable[Prefix] | None) -> None:
        """Addresses whose packets matter even when not translated; None watches everything.

        More of them than the map holds also means everything.
        """
        new = None if prefixes is None else frozenset(prefixes)
        if new is not None and len(new) > MOST_WATCHED:
            new = None
        old, self._watched = self._watched, new
        if self._attachments is None:
            return
        module = self._attachments.module
        # Additions before removals, so that nothing watched is ever out of sight.
        for prefix in (new or frozenset()) - (old or frozenset()):
            module.update("watched", _prefix_key(prefix), b"\1")
        self._open_gate(module)
        for prefix in (old or frozenset()) - (new or frozenset()):
            module.delete("watched", _prefix_key(prefix))

    def set_netns(self, inodes: Sequence[int]) -> None:
        """Namespaces whose conntrack and IPVS records matter; none means all."""
        old, self._netns = self._netns, frozenset(inodes)
        if self._attachments is None:
            return
        module = self._attachments.module
        for inode in self._netns - old:
            module.update("namespaces", struct.pack("=I", inode), b"\1")
        self._open_gate(module)
        for inode in old - self._netns:
            module.delete("namespaces", struct.pack("=I", inode))

    def arm(self, ids: Collection[str]) -> None:
        """Attach more hooks (of ``PER_PACKET``) while running.

        The first time this compiles the functions that ``open`` left out.
        """
        self._wish |= {hook.id for hook in with_partners(ids)}
        self._update(Kernel(self._root))

    def disarm(self, ids: Collection[str]) -> None:
        """Detach hooks again."""
        self._wish -= {hook.id for hook in with_partners(ids)}
        if self._attachments is not None:
            self._attachments.detach(ids)

    def modules_changed(self) -> bool:
        """Whether modules that hooks are in have been loaded or unloaded since."""
        return Kernel(self._root).modules_seen != self._modules_seen

    def retry_missing(self) -> list[str]:
        """Attach what a module loaded since has brought; ids of the hooks won."""
        if self._attachments is None or not self.modules_changed():
            return []
        kernel = Kernel(self._root)
        before = self._attached()
        self._update(kernel)
        return sorted(self._attached() - before)

    def _update(self, kernel: Kernel) -> None:
        """Attach what is wished for; with a new C text, change over to a new module."""
        if self._attachments is None:
            return
        program = self._prepare(kernel)
        if program.text == self._attachments.program.text:
            self._attachments.program = program
            self._attachments.attach(self._wish)
            return
        new, old = self._start(kernel, program), self._attachments
        old.module.update("settings", bytes(4), bytes(16))
        self._left_over += old.module.drain()
        self._lost_before += self._loss_of(old)
        old.close()
        self._attachments = new

    def _attached(self) -> set[str]:
        states = self._attachments.states() if self._attachments else ()
        return {state.id for state in states if state.symbol}

    def drain(self) -> bytes:
        """Whole slots of ``SLOT_BYTES`` that have come since the last call; may be empty."""
        if self._attachments is None:
            return b""
        block, self._left_over = self._left_over + self._attachments.module.drain(), b""
        return block

    def lost(self) -> int:
        """Records lost since the last call, by a full ring or a return probe that never came."""
        total = self._lost_before
        if self._attachments is not None:
            total += self._loss_of(self._attachments)
        new, self._lost_told = total - self._lost_told, total
        return new

    def _loss_of(self, attachments: Attachments) -> int:
        counters = self._counters(attachments)
        return counters["lost"] + counters["missed"]

    def quieten(self, location: int, reason: int) -> None:
        """No DROP record any more from this code address for this reason number."""
        key = struct.pack("=Q", location << 16 & (1 << 64) - 1 | reason)
        self._quiet.add(key)
        if self._attachments is not None:
            self._attachments.module.update("quiet", key, b"\1")

    def label(self, address: int) -> str:
        """Name of the table or chain that a TABLE record carries in ``detail``."""
        if self._attachments is None:
            return ""
        found = self._attachments.module.lookup("labels", struct.pack("=Q", address), 64)
        return found.split(b"\0", 1)[0].decode(errors="replace") if found else ""

    def _counters(self, attachments: Attachments | None) -> dict[str, int]:
        if attachments is None:
            return dict.fromkeys(_COUNTERS, 0)
        size = 8 * syscalls.possible_cpus(self._root)
        sums = {}
        for index, name in enumerate(_COUNTERS):
            values = attachments.module.lookup("counters", struct.pack("=I", index), size)
            sums[name] = sum(memoryview(values or b"").cast("Q"))
        return sums

    def report(self) -> Report:
        """How it stands now."""
        states = self._attachments.states() if self._attachments else ()
        return Report(
            self._way, states, dict(self._stopwatch.seconds), self._counters(self._attachments)
        )

    def close(self) -> None:
        """Detach everything; safe to call twice."""
        if self._attachments is not None:
            self._attachments.close()
            self._attachments = None


def _prefix_key(prefix: Prefix) -> bytes:
    return struct.pack("=I16s", prefix[1], prefix[0])


class CompileError(ProbeError):
    """The C text does not compile in this way; another way may do."""


def find_bcc(folders: Sequence[str] = _DISTRIBUTION_FOLDERS) -> Any:
    """The BPF Compiler Collection's Python module, from wherever the distribution put it.

    PyPI's ``bcc`` is another program; and a virtual environment does not see the
    distribution's packages. Only bcc itself is taken from there.
    """
    module = sys.modules.get("bcc")
    if module is None and importlib.util.find_spec("bcc") is not None:
        module = importlib.import_module("bcc")
    if hasattr(module, "BPF"):
        return module
    for folder in folders:
        if not (Path(folder) / "bcc" / "__init__.py").exists():
            continue
        for name in [n for n in sys.modules if n == "bcc" or n.startswith("bcc.")]:
            del sys.modules[name]
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("bcc")
        finally:
            sys.path.remove(folder)
    raise ProbeError(
        "bcc is not installed",
        "the Python module bcc of the BPF Compiler Collection was not found",
        "install python3-bpfcc (Debian, Ubuntu), python3-bcc (Fedora), or py3-bcc (Alpine)",
    )


class BccModule:
    """A module compiled by BCC; maps and the ring are used without BCC's tables."""

    _screen_may_be_up = False
    """After the first start descriptor 2 may belong to a screen and is left alone."""

    def __init__(self, text: str) -> None:
        bcc = find_bcc()
        with self._errors_aside() as errors:
            try:
                self._bpf = bcc.BPF(text=text.encode(), cflags=["-Wno-everything"])
            except Exception as error:  # BCC raises bare Exception
                raise CompileError("the probes do not compile", errors() or str(error)) from error
        self._kinds = {Kind.RAW_TRACEPOINT: bcc.BPF.RAW_TRACEPOINT}
        self._kprobe, self._library = bcc.BPF.KPROBE, bcc.lib
        self._ring: Ring | None = None
        self._records: list[bytes] = []

    def load(self, function: str, kind: Kind) -> int:
        """See :class:`Module`."""
        with self._errors_aside() as errors:
            try:
                loaded = self._bpf.load_func(function.encode(), self._kinds.get(kind, self._kprobe))
            except Exception as error:  # BCC raises bare Exception, with the errno in its text
                raise OSError(ctypes.get_errno(), errors()[-300:] or str(error)) from error
        return int(loaded.fd)

    def _map_fd(self, name: str) -> int:
        return int(self._library.bpf_table_fd(self._bpf.module, name.encode()))

    def update(self, name: str, key: bytes, value: bytes) -> None:
        """See :class:`Module`."""
        syscalls.map_update(self._map_fd(name), key, value)

    def delete(self, name: str, key: bytes) -> None:
        """See :class:`Module`."""
        syscalls.map_delete(self._map_fd(name), key)

    def lookup(self, name: str, key: bytes, size: int) -> bytes | None:
        """See :class:`Module`."""
        return syscalls.map_lookup(self._map_fd(name), key, size)

    def open_events(self, ring_bytes: int) -> None:
        """Map the ring; where the kernel has none, open a perf buffer for each CPU."""
        BccModule._screen_may_be_up = True
        if syscalls.has_ring_buffer():
            self._ring = Ring(self._map_fd("events"), ring_bytes, RECORD_BYTES)
            return
        self._bpf[b"events"].open_perf_buffer(self._take, page_cnt=256)

    def _take(self, _cpu: int, data: int, _size: int) -> None:
        self._records.append(ctypes.string_at(data, RECORD_BYTES))

    def drain(self) -> bytes:
        """See :class:`Module`."""
        if self._ring is not None:
            return self._ring.drain()
        self._bpf.perf_buffer_poll(0)
        records, self._records = self._records, []
        return as_slots(records)

    def close(self) -> None:
        """See :class:`Module`."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        self._bpf.cleanup()

    @contextmanager
    def _errors_aside(self) -> Iterator[Callable[[], str]]:
        """What libbcc writes to descriptor 2, kept from the terminal; a function gives the text."""
        if self._screen_may_be_up:
            yield str
            return
        sys.stderr.flush()
        saved = os.dup(2)
        with tempfile.TemporaryFile() as aside:
            os.dup2(aside.fileno(), 2)

            def text() -> str:
                aside.seek(0)
                return aside.read().decode(errors="replace").strip()

            try:
                yield text
            finally:
                os.dup2(saved, 2)
                os.close(saved)
