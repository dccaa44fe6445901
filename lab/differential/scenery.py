"""Random ways and switches of a node: policy rules, routing tables, sysctls of both families."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from lab.differential.universe import FAMILIES, PODS, UPLINK, Universe
from lab.shell import run

SWITCHES: Mapping[str, tuple[int, ...]] = {
    "ipv4/ip_forward": (1,) * 9 + (0,),
    "ipv4/conf/all/rp_filter": (0, 0, 1, 2),
    "ipv4/conf/n1/rp_filter": (0, 0, 0, 1),
    "ipv4/conf/all/route_localnet": (0, 1),
    "ipv4/conf/n0/accept_local": (0, 0, 0, 1),
    "ipv4/conf/n1/src_valid_mark": (0, 0, 1),
    "ipv6/conf/all/forwarding": (1,) * 9 + (0,),
}
"""Values to choose from, by path under ``/proc/sys/net``."""
READ = (
    *("rp_filter", "route_localnet", "accept_local", "src_valid_mark"),
    *("forwarding", "send_redirects"),
)
_SYS = Path("/proc/sys/net")
SIDE, EXTRA = "100", "101"
_DEFAULTS = (("0", "local"), ("32766", "main"))


def change(chance: random.Random, universe: Universe) -> str:
    """Give the namespace new ways and switches; what was done, for a report."""
    switched = []
    for name, values in SWITCHES.items():
        value = chance.choice(values)
        (_SYS / name).write_text(f"{value}\n")
        switched.append(f"{name}={value}")
    lines = [*_cleared(universe), *_tables(chance, universe), *_rules(chance, universe)]
    run(["ip", f"-{6 if universe.ipv6 else 4}", "-force", "-batch", "-"], "\n".join(lines) + "\n",
        check=False)  # fmt: skip
    return "\n".join([" ".join(switched), *lines])


def sysctls() -> dict[str, str]:
    """Every switch that the walk looks at, by dotted name."""
    paths = [_SYS / "ipv4/ip_forward", *_SYS.glob("ipv4/vs/conntrack")]
    for family in FAMILIES:
        for name in READ:
            paths += _SYS.glob(f"ipv{family}/conf/*/{name}")
    return {".".join(p.relative_to("/proc/sys").parts): p.read_text().strip() for p in paths}


def _cleared(universe: Universe) -> list[str]:
    """What takes back all that an earlier change did; lines may fail."""
    virtual = universe.virtual[2]
    lines = ["rule flush"]
    lines += [f"rule add priority {number} lookup {table}" for number, table in _DEFAULTS]
    lines += [f"route flush table {table}" for table in (SIDE, EXTRA)]
    return [*lines, f"route del local {virtual} dev lo table local"]


def _tables(chance: random.Random, universe: Universe) -> list[str]:
    everything = universe.networks[3]
    side = (
        f"route add default dev {PODS} table {SIDE}",
        f"route add local {everything} dev lo table {SIDE}",
        f"route add default via {universe.router} dev {UPLINK} table {SIDE}",
    )
    lines = [chance.choice(side)]
    for kind in ("throw", "unreachable", "prohibit", "blackhole"):
        if chance.random() < 0.3:
            target = chance.choice((*universe.virtual, *universe.outside, *universe.pods))
            lines.append(f"route add {kind} {target} table {EXTRA}")
    lines.append(f"route add {universe.networks[1]} dev {PODS} table {EXTRA}")
    if chance.random() < 0.2:
        lines.append(f"route add local {universe.virtual[2]} dev lo table local")
    return lines


def _rules(chance: random.Random, universe: Universe) -> list[str]:
    if chance.random() < 0.4:
        return []
    choices = (
        f"fwmark 0x1/0x1 lookup {SIDE}",
        f"fwmark 0x8000/0x8000 lookup {EXTRA}",
        f"from {universe.pods[0]} lookup {EXTRA}",
        f"iif {PODS} lookup {EXTRA}",
        f"iif lo lookup {EXTRA}",
        f"to {universe.virtual[2]} lookup {SIDE}",
        f"not from {universe.networks[0]} lookup {EXTRA}",
        f"fwmark 0x4001 {chance.choice(('unreachable', 'prohibit', 'blackhole'))}",
        f"from {universe.outside[2]} {chance.choice(('unreachable', 'prohibit', 'blackhole'))}",
        "lookup main suppress_prefixlength 0",
    )
    chosen = chance.sample(choices, chance.choice((1, 1, 2, 3)))
    return [f"rule add priority {1000 + at} {rule}" for at, rule in enumerate(chosen)]
