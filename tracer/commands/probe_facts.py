"""What of this kernel can be probed: functions, the types behind them, names of drop reasons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from probes.fields import GROUPS, from_btf
from probes.hooks import HOOKS, Cost, Kind
from probes.kernel import Kernel
from tracer.commands.fact import NO, PARTLY, YES, Fact

_LOST = {
    "core": "nothing can be probed",
    "route": "dropped packets do not tell their route",
    "conntrack": "no translations by probes: use --backend conntrack",
    "nat": "choices of NAT are seen only once their connection is confirmed",
    "ipvs": "IPVS' own decisions are not seen (which server, none to choose, its refusals);"
    " translations are, by conntrack, which kube-proxy turns on for IPVS",
    "nft": "translations by nftables are seen, but not that they are nftables'",
    "xt": "--deep does not see the tables of iptables",
    "hook_state": "--deep does not see netfilter's hooks",
}
"""What is lost with a group of fields."""
_MODULES_DESCRIBED = "boot Linux 5.11 or later, built with CONFIG_DEBUG_INFO_BTF_MODULES=y"


def probe_facts(root: Path, release: str) -> list[Fact]:
    """All of them; those about types only where the kernel describes its types."""
    seen = Kernel(root, release)
    if seen.types is None:
        return [_points(seen, {})]
    missing = from_btf(seen.types).missing
    modules = {group.name: group.module for group in GROUPS}
    there = {"", *seen.modules}
    # What no loaded module brings is missed as a function already.
    missing = {name: why for name, why in missing.items() if modules[name] in there}
    return [_points(seen, missing), _types(missing), _reasons(seen)]


def _points(seen: Kernel, missing: Mapping[str, str]) -> Fact:
    """The kernel functions that decisions are read from, as far as they are there."""
    wanted = [h for h in HOOKS if h.cost is Cost.DECISION and not h.id.startswith("engine:")]
    wanted = [hook for hook in wanted if hook.kind is not Kind.RAW_TRACEPOINT]
    present = seen.symbols | seen.clones.keys()
    absent: dict[str, list[str]] = {}
    undescribed = 0
    for hook in wanted:
        if present.isdisjoint(hook.symbols):
            absent.setdefault(hook.module or "the kernel", []).append(hook.id)
        elif not missing.keys().isdisjoint(("core", *hook.needs)):
            undescribed += 1
    usable = len(wanted) - undescribed - sum(map(len, absent.values()))
    found = f"{usable} of {len(wanted)} kernel functions"
    works = YES if usable == len(wanted) else PARTLY if usable else NO
    if undescribed and not absent:
        return Fact("probe points", works, found, f"{undescribed} lack what the next line says")
    if not absent:
        return Fact("probe points", works, found)
    lost = "; ".join(f"{', '.join(ids)} (in {module})" for module, ids in absent.items())
    remedy = "modprobe those modules if kube-proxy uses them here; viptrace attaches by itself then"
    return Fact("probe points", works, found, f"not seen: {lost}", remedy)


def _types(missing: Mapping[str, str]) -> Fact:
    """Where the fields lie that probes read."""
    if not missing:
        return Fact("kernel types", YES, "every field that probes read is described")
    lost = "; ".join(_LOST[name] for name in missing)
    found = "; ".join(missing.values())
    return Fact("kernel types", PARTLY, found, lost, _MODULES_DESCRIBED)


def _reasons(seen: Kernel) -> Fact:
    """Since 5.17 the kernel says why it drops a packet."""
    if seen.drop_reasons:
        return Fact("drop reasons", YES, f"{len(seen.drop_reasons)} named by the kernel")
    return Fact(
        "drop reasons",
        PARTLY,
        "none named by this kernel",
        "of a drop only the kernel function is told in which it happened",
        "boot Linux 5.17 or later",
    )
