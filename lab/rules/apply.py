"""Feeding generated rules to one node's namespace, and the sysctls kube-proxy forces."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal, get_args

from lab.rules import iptables, ipvs, nftables
from lab.rules.kept import merged
from lab.rules.plan import NodePlan, PortPlan, node_plan, port_plans
from lab.shell import run_in
from tracer.cluster.model import Cluster

Mode = Literal["ipvs", "iptables", "nftables"]
MODES: tuple[Mode, ...] = get_args(Mode)

SYSCTLS: dict[Mode, tuple[str, ...]] = {
    "ipvs": (
        "net.ipv4.vs.conntrack=1",
        "net.ipv4.vs.expire_nodest_conn=1",
        "net.ipv4.vs.expire_quiescent_template=1",
        "net.ipv4.ip_forward=1",
        "net.ipv4.conf.all.arp_ignore=1",  # strictARP, as load balancers on the LAN want it
        "net.ipv4.conf.all.arp_announce=2",
    ),
    "iptables": ("net.ipv4.conf.all.route_localnet=1",),
    "nftables": (),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One tool's call with its input."""

    command: tuple[str, ...]
    text: str = ""


def steps(cluster: Cluster, node: str, mode: Mode) -> list[Step]:
    """Everything kube-proxy does on this node at start, both families, in a working order."""
    found = [Step(("sysctl", "-q", "-w", *SYSCTLS[mode]))] if SYSCTLS[mode] else []
    if mode == "ipvs":
        found.append(Step(("ip", "-batch", "-"), "link add kube-ipvs0 type dummy\n"))
    servers = ""
    for ipv6 in (False, True):
        plan, plans = node_plan(cluster, node, ipv6), port_plans(cluster, node, ipv6)
        found += _family_steps(plan, plans, mode)
        servers += ipvs.ipvsadm(plan, plans)
    if mode == "ipvs":
        found.append(Step(("ipvsadm", "-R"), servers))
    return found


def apply(cluster: Cluster, node: str, mode: Mode, namespace: str) -> None:
    """Program ``node``'s rules inside ``namespace``."""
    for step in steps(cluster, node, mode):
        run_in(namespace, step.command, step.text)


def resync(cluster: Cluster, node: str, mode: Mode, namespace: str) -> None:
    """Program the rules again after the cluster changed: what kube-proxy's next sync does.

    IPVS: servers and addresses that are gone are removed, the rest keep their connections.
    """
    if mode == "nftables":
        apply(cluster, node, mode, namespace)
        return
    if mode == "iptables":
        run_in(namespace, ("sysctl", "-q", "-w", *SYSCTLS[mode]))
        for ipv6 in (False, True):
            wanted = iptables.generate(
                node_plan(cluster, node, ipv6), port_plans(cluster, node, ipv6)
            )
            there = run_in(namespace, ("ip6tables-save" if ipv6 else "iptables-save",))
            run_in(namespace, (_restore(ipv6),), merged(there, wanted))
        return
    _rebind(cluster, node, namespace)
    for ipv6 in (False, True):
        plan, plans = node_plan(cluster, node, ipv6), port_plans(cluster, node, ipv6)
        run_in(namespace, ("ipset", "restore"), ipvs.ipset(plan, plans))
        run_in(namespace, (_restore(ipv6),), ipvs.rules(plan, plans))
    wanted = "".join(step.text for step in steps(cluster, node, mode) if "ipvsadm" in step.command)
    there = run_in(namespace, ("ipvsadm", "-Sn"))
    run_in(namespace, ("ipvsadm", "-R"), server_changes(there, wanted))


def _rebind(cluster: Cluster, node: str, namespace: str) -> None:
    wanted = {
        f"{ip}/{128 if ipv6 else 32}"
        for ipv6 in (False, True)
        for ip in ipvs.bound_addresses(
            node_plan(cluster, node, ipv6), port_plans(cluster, node, ipv6)
        )
    }
    (device,) = json.loads(run_in(namespace, ("ip", "-j", "addr", "show", "dev", "kube-ipvs0")))
    there = {f"{entry['local']}/{entry['prefixlen']}" for entry in device["addr_info"]}
    run_in(namespace, ("ip", "-batch", "-"), address_changes(there, wanted))


def address_changes(there: Set[str], wanted: Set[str]) -> str:
    """``ip -batch`` input that turns one set of addresses of ``kube-ipvs0`` into the other."""
    lines = [f"addr del {ip} dev kube-ipvs0" for ip in sorted(there - wanted)]
    lines += [f"addr add {ip} dev kube-ipvs0" for ip in sorted(wanted - there)]
    return "".join(line + "\n" for line in lines)


def server_changes(there: str, wanted: str) -> str:
    """``ipvsadm -R`` input that turns one dump into the other, removals first."""
    old, new = _by_key(there), _by_key(wanted)
    gone = [key for key in old if key not in new]
    dead_services = {key[1] for key in gone if key[0] == "-A"}
    removals = [
        f"{'-D' if flag == '-A' else '-d'} {at}{real}"
        for flag, at, real in gone
        if flag == "-A" or at not in dead_services
    ]
    return "\n".join([*removals, *(line for key, line in new.items() if key not in old)]) + "\n"


def _by_key(dump: str) -> dict[tuple[str, str, str], str]:
    """Lines of a dump by (command, service, real server)."""
    found = {}
    for line in dump.splitlines():
        words = line.split()
        if len(words) >= 3:
            real = f" -r {words[words.index('-r') + 1]}" if "-r" in words else ""
            found[(words[0], f"{words[1]} {words[2]}", real)] = line
    return found


def _family_steps(plan: NodePlan, plans: Sequence[PortPlan], mode: Mode) -> list[Step]:
    if mode == "nftables":
        return [Step(("nft", "-f", "-"), nftables.generate(plan, plans))]
    if mode == "iptables":
        return [Step((_restore(plan.ipv6),), iptables.generate(plan, plans))]
    prefix = 128 if plan.ipv6 else 32
    addresses = "".join(
        f"addr add {ip}/{prefix} dev kube-ipvs0\n" for ip in ipvs.bound_addresses(plan, plans)
    )
    return [
        Step(("ip", "-force", "-batch", "-"), addresses),
        Step(("ipset", "restore"), ipvs.ipset(plan, plans)),
        Step((_restore(plan.ipv6),), ipvs.rules(plan, plans)),
    ]


def _restore(ipv6: bool) -> str:
    return "ip6tables-restore" if ipv6 else "iptables-restore"
