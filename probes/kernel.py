"""What this kernel has, read from /proc and /sys below a root that tests can replace."""

from __future__ import annotations

import gzip
import os
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from probes import syscalls
from probes.btf import BtfError, Types
from probes.fields import BTF_MODULES

CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 21, 38, 39
_MOST_PARANOID = 2
"""Of ``kernel.perf_event_paranoid`` upstream; Debian and Ubuntu have patched in 3 and 4."""
DROP_REASONS = "skb_drop_reason"
_WATCHED_MODULES = (*BTF_MODULES, "nf_nat", "nf_conntrack")


class Kernel:
    """One look at the kernel; make a new one after modules have been loaded."""

    def __init__(self, root: Path = Path("/"), release: str = "") -> None:
        self.root = root
        self.release = release or os.uname().release
        self.types_problem = ""
        """Why there is no BTF; empty when there is."""

    @cached_property
    def types(self) -> Types | None:
        """BTF of the kernel and of the modules that matter, or None."""
        try:
            return Types(self.root, BTF_MODULES)
        except FileNotFoundError:
            self.types_problem = "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"
        except OSError as error:
            self.types_problem = f"BTF cannot be read: {error.strerror}"
        except BtfError as error:
            self.types_problem = f"BTF cannot be understood: {error}"
        return None

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Names of every function and object of the kernel and its modules."""
        names = (line[19:].split(b"\t", 1)[0] for line in self._kallsyms())
        return frozenset(b"\n".join(names).decode(errors="replace").split("\n"))

    @cached_property
    def clones(self) -> Mapping[str, str]:
        """Functions that the compiler has split or specialised, by their own name."""
        return {name.partition(".")[0]: name for name in self.symbols if "." in name}

    @cached_property
    def modules(self) -> frozenset[str]:
        """Modules present, loaded or built in with parameters."""
        folder = self.root / "sys/module"
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        for line in self._text("proc/modules").splitlines():
            names.add(line.split(" ", 1)[0])
        return frozenset(names)

    @cached_property
    def config(self) -> Mapping[str, str]:
        """Build options, where the kernel tells them; empty elsewhere."""
        text = self._text(f"boot/config-{self.release}")
        packed = self.root / "proc/config.gz"
        if not text and packed.exists():
            text = gzip.decompress(packed.read_bytes()).decode()
        pairs = (line.split("=", 1) for line in text.splitlines() if line.startswith("CONFIG_"))
        return {name: value for name, value in pairs if value}

    @cached_property
    def drop_reasons(self) -> Mapping[int, str]:
        """Names of drop reasons by number, without the common prefix."""
        values = self.types.enumeration(DROP_REASONS) if self.types else {}
        return {value: name.removeprefix("SKB_DROP_REASON_") for name, value in values.items()}

    @property
    def modules_seen(self) -> frozenset[str]:
        """Which of the modules with probe points are there now (cheap, never cached)."""
        folder = self.root / "sys/module"
        return frozenset(name for name in _WATCHED_MODULES if (folder / name).exists())

    def has_helper(self, name: str) -> bool | None:
        """Whether the kernel knows a BPF helper or map type; None when BTF cannot tell."""
        if self.types is None:
            return None
        return any(name in self.types.enumeration(e) for e in ("bpf_func_id", "bpf_map_type"))

    def lockdown(self) -> str:
        """``none``, ``integrity`` or ``confidentiality``."""
        text = self._text("sys/kernel/security/lockdown")
        return text.partition("[")[2].partition("]")[0] or "none"

    def capabilities(self) -> int:
        """The effective capability set of this process, as bits."""
        for line in self._text("proc/self/status").splitlines():
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
        return 0

    def lacking_right(self) -> str:
        """What keeps this process from probing; empty when nothing does.

        CAP_BPF loads and CAP_PERFMON attaches, but the kernels of Debian and Ubuntu refuse
        perf_event_open(2), by which kprobes are attached, to all but CAP_SYS_ADMIN while
        ``kernel.perf_event_paranoid`` is above 2: their default.
        """
        held = self.capabilities()
        if held >> CAP_SYS_ADMIN & 1:
            return ""
        if not held >> CAP_BPF & held >> CAP_PERFMON & 1:
            return "CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON"
        if self.paranoia() > _MOST_PARANOID and not syscalls.may_open_events():
            return (
                f"CAP_SYS_ADMIN, or kernel.perf_event_paranoid={_MOST_PARANOID}"
                f" instead of {self.paranoia()}"
            )
        return ""

    def paranoia(self) -> int:
        """``kernel.perf_event_paranoid``; what it is upstream where it cannot be read."""
        text = self._text("proc/sys/kernel/perf_event_paranoid").strip()
        return int(text) if text.isdigit() else _MOST_PARANOID

    def has_kprobes(self) -> bool:
        """Whether kprobes can be opened as perf events."""
        return (self.root / "sys/bus/event_source/devices/kprobe/type").exists()

    def problems(self) -> list[str]:
        """Sentences about what is missing for live probing; empty when all is there."""
        found = []
        if right := self.lacking_right():
            found.append(f"no privilege to probe: it takes {right}")
        if not self.has_kprobes():
            found.append("this kernel has no kprobes (CONFIG_KPROBE_EVENTS)")
        if self.lockdown() == "confidentiality":
            found.append("kernel lockdown (confidentiality) forbids BPF to read kernel memory")
        if self.types is None:
            found.append(self.types_problem)
        if "ip_vs" not in self.modules:
            found.append("module ip_vs is not loaded: not in IPVS mode")
        return found

    def locate(self, address: int) -> str:
        """``nft_do_chain+0x3f`` without the offset: the function an address lies in."""
        addresses, names = self._functions
        place = bisect_right(addresses, address) - 1
        return names[place] if place >= 0 and address else f"{address:#x}"

    def address(self, symbol: str) -> int:
        """Where a function begins; 0 when unknown or kept secret from us."""
        addresses, names = self._functions
        return addresses[names.index(symbol)] if symbol in names else 0

    @cached_property
    def _functions(self) -> tuple[list[int], list[str]]:
        """Start addresses of functions in order, and their names."""
        rows = sorted(
            (int(line[:16], 16), line[19:].split(b"\t", 1)[0].decode())
            for line in self._kallsyms()
            if line[17:18] in b"tT"
        )
        return [row[0] for row in rows], [row[1] for row in rows]

    def _kallsyms(self) -> list[bytes]:
        try:
            return (self.root / "proc/kallsyms").read_bytes().splitlines()
        except OSError:
            return []

    def _text(self, path: str) -> str:
        try:
            return (self.root / path).read_text(errors="replace")
        except OSError:
            return ""
