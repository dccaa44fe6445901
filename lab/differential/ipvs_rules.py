"""Random virtual servers: what kube-proxy programs in ipvs mode, with weights, and beyond it."""

from __future__ import annotations

import random
import re
from pathlib import Path

from lab.differential import xt_rules
from lab.differential.services import HERE, random_cluster
from lab.differential.universe import PORTS, Universe
from lab.rules import ipvs
from lab.rules.apply import SYSCTLS
from lab.rules.plan import NodePlan, PortPlan, node_plan, port_plans
from lab.shell import run
from tracer.node.model import IPVS_DEVICE

SCHEDULERS = ("rr", "wrr", "sh", "lc", "wlc")
MARK = 0x7
_TRACKING = Path("/proc/sys/net/ipv4/vs/conntrack")


def begin() -> None:
    """The device and the switches that stay."""
    run(["ip", "link", "add", IPVS_DEVICE, "type", "dummy"])
    run(["sysctl", "-q", "-w", *SYSCTLS["ipvs"]])


def program(chance: random.Random, universe: Universe) -> str:
    """Give the namespace new servers with all that surrounds them; what it was, for a report."""
    cluster = random_cluster(chance)
    plan = node_plan(cluster, HERE, universe.ipv6)
    plans = port_plans(cluster, HERE, universe.ipv6)
    _TRACKING.write_text(f"{int(chance.random() < 0.85)}\n")
    servers = _servers(chance, universe, plan, plans)
    addresses = _addresses(universe, plan, plans)
    rules = _rules(chance, universe, plan, plans)
    run(["ip", f"-{6 if universe.ipv6 else 4}", "-force", "-batch", "-"], addresses, check=False)
    run(["ipset", "restore"], ipvs.ipset(plan, plans))
    run([f"ip{'6' if universe.ipv6 else ''}tables-legacy-restore"], rules)
    run(["ipvsadm", "-R"], servers)
    return "\n".join((addresses, servers, rules))


def _servers(
    chance: random.Random, universe: Universe, plan: NodePlan, plans: list[PortPlan]
) -> str:
    text = re.sub(
        r"-w 1$",
        lambda _: f"-w {chance.choice((0, 1, 1, 1, 2, 5))}",
        ipvs.ipvsadm(plan, plans),
        flags=re.MULTILINE,
    )
    text = re.sub(r"-s rr", lambda _: f"-s {chance.choice(SCHEDULERS)}", text)
    return "-C\n" + text + "".join(_by_mark(chance, universe))


def _by_mark(chance: random.Random, universe: Universe) -> list[str]:
    """A server of a firewall mark, in two of five rule sets."""
    if chance.random() < 0.6:
        return []
    family = " -6" if universe.ipv6 else ""
    sticky = chance.choice(("", "", " -p 60"))
    lines = [f"-A -f {MARK}{family} -s {chance.choice(SCHEDULERS)}{sticky}\n"]
    for pod in chance.sample(universe.pods, chance.choice((0, 1, 2))):
        at = f"[{pod}]:0" if universe.ipv6 else f"{pod}:0"
        lines.append(f"-a -f {MARK}{family} -r {at} -m -w {chance.choice((0, 1, 2))}\n")
    return lines


def _addresses(universe: Universe, plan: NodePlan, plans: list[PortPlan]) -> str:
    bound = dict.fromkeys([*ipvs.bound_addresses(plan, plans), universe.virtual[1]])
    lines = [f"addr flush dev {IPVS_DEVICE}"]
    lines += [f"addr add {ip}/{universe.bits} dev {IPVS_DEVICE}" for ip in bound]
    return "\n".join(lines) + "\n"


def _rules(chance: random.Random, universe: Universe, plan: NodePlan, plans: list[PortPlan]) -> str:
    """kube-proxy's rules and some that mark; sometimes anybody's rules instead."""
    if chance.random() < 0.2:
        return xt_rules.ruleset(chance, universe)
    marks = []
    for chain in ("PREROUTING", "OUTPUT"):
        for _ in range(chance.choice((0, 1, 2))):
            target = chance.choice((*universe.virtual, universe.nodes[0]))
            port = chance.choice(PORTS)
            marks.append(
                f"-A {chain} -d {target} -p tcp -m tcp --dport {port} -j MARK --set-xmark {MARK:#x}"
            )
    mangle = ["*mangle", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *marks, "COMMIT\n"]
    return "\n".join(mangle) + ipvs.rules(plan, plans)
