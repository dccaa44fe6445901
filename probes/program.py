"""The C text for this kernel, and which of its functions go where.

Everything that differs between kernels is a macro in front of the files in ``bpf/``:
offsets (``fields``), argument positions and enum values from BTF. Versions are
asked for nowhere.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from probes.fields import Layout, from_btf, from_headers
from probes.hooks import HOOKS, Hook, Kind
from probes.kernel import Kernel

FOLDER = Path(__file__).parent / "bpf"
FILES = ("event.h", "common.h", "packet.h", "conntrack.h", "nat.c", "ipvs.c", "drop.c")
DEEP_FILES = ("ipvs_path.c", "path.c")
"""Functions of per-packet hooks: they double the compile time, so only on demand."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Where one hook will be attached, or why it cannot be."""

    hook: Hook
    symbol: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """What is compiled, and the plan for the functions (also for those left out)."""

    text: str
    plan: tuple[Planned, ...]
    layout: Layout


def prepare(kernel: Kernel, ring_pages: int, has_ring: bool, deep: bool = True) -> Program:
    """Everything that can be known before compiling."""
    types = kernel.types
    layout = from_btf(types) if types else from_headers(kernel.modules)
    positions: dict[str, int] = {}
    plan = tuple(_place(hook, kernel, layout, positions) for hook in HOOKS)
    reasons = (types.tracepoint_arguments("kfree_skb") if types else None) or 2
    macros = [f"#define ARG_{name} {place}" for name, place in sorted(positions.items())]
    macros += [f"#define KFREE_SKB_ARGUMENTS {reasons}", f"#define RING_PAGES {ring_pages}"]
    if has_ring:
        macros.append("#define HAVE_RINGBUF 1")
    if kernel.has_helper("BPF_FUNC_probe_read_kernel") is False:
        macros.append("#define OLD_READ 1")
    files = FILES + DEEP_FILES if deep else FILES
    sources = [(FOLDER / name).read_text() for name in files]
    return Program("\n".join((layout.text, *macros, *sources)), plan, layout)


def _place(hook: Hook, kernel: Kernel, layout: Layout, positions: dict[str, int]) -> Planned:
    """Choose the symbol of a hook and settle the argument positions of its C function."""
    symbol, problem = _choose(hook, kernel, layout)
    for name, argument in hook.arguments.items():
        parameters = kernel.types.parameters(symbol) if kernel.types and symbol else None
        place: int | None = argument.position
        if parameters is not None:
            place = next((parameters.index(n) for n in argument.names if n in parameters), None)
        macro = f"{hook.function}_{name}"
        if place is None or place > 5:
            problem = problem or f"the prototype of {symbol} has no argument {name} in a register"
        elif positions.setdefault(macro, place) != place and not problem:
            if parameters is None:
                continue
            problem = f"{symbol} takes its arguments in another order than its siblings"
    return Planned(hook, "" if problem else symbol, problem)


def _choose(hook: Hook, kernel: Kernel, layout: Layout) -> tuple[str, str]:
    """The symbol to attach to, or the reason why there is none."""
    if hook.kind is Kind.RAW_TRACEPOINT:
        return hook.symbols[0], ""
    symbol = next((name for name in hook.symbols if name in kernel.symbols), "")
    if not symbol and kernel.symbols:
        return "", _absent(hook, kernel)
    lacking = [layout.missing[group] for group in ("core", *hook.needs) if group in layout.missing]
    return symbol or hook.symbols[0], lacking[0] if lacking else ""


def _absent(hook: Hook, kernel: Kernel) -> str:
    if hook.module == "ip_vs" and "ip_vs" not in kernel.modules:
        return "not in IPVS mode (module ip_vs is not loaded)"
    if hook.module and hook.module not in kernel.modules:
        return f"module {hook.module} is not loaded"
    clones = [kernel.clones[name] for name in hook.symbols if name in kernel.clones]
    if clones:
        return f"the compiler made {clones[0]} of it, with other arguments"
    return f"this kernel has no function {' or '.join(hook.symbols)}"


def with_partners(ids: Collection[str]) -> list[Hook]:
    """Hooks of these ids and their return probes, in table order."""
    partners = {hook.partner for hook in HOOKS if hook.id in ids and hook.partner}
    return [hook for hook in HOOKS if hook.id in ids or hook.id in partners]
