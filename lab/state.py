"""A node's state as plain files: the public tools' own output, as the state directory has it."""

from __future__ import annotations

from pathlib import Path

from lab.netns import call
from lab.rules.apply import Mode
from lab.shell import run_in
from tracer.cluster.model import Cluster
from tracer.node import health_answers
from tracer.node.collect import Collector
from tracer.node.health_file import NAME, asked

SYSCTLS = (
    r"^net\.(ipv4\.(ip_forward|vs\.|conf\.[^.]+\.(rp_filter|route_localnet|arp_|forwarding))"
    r"|ipv6\.conf\.all\.forwarding|bridge\.|netfilter\.nf_conntrack_(max|acct|count|tcp_be))"
)
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "addr.json": (("ip", "-j", "addr"),),
    "route.json": (("ip", "-j", "route", "show", "table", "all"),),
    "rule.json": (("ip", "-j", "rule"),),
    "conntrack.txt": (("conntrack", "-L"), ("conntrack", "-L", "-f", "ipv6")),
    "sysctl.txt": (("sysctl", "-a", "-r", SYSCTLS),),
}
BY_MODE: dict[Mode, dict[str, tuple[tuple[str, ...], ...]]] = {
    "ipvs": {
        "iptables-save.txt": (("iptables-save", "-c"), ("iptables-legacy-save", "-c")),
        "ip6tables-save.txt": (("ip6tables-save", "-c"),),
        "ipset-save.txt": (("ipset", "save"),),
        "ipvsadm-save.txt": (("ipvsadm", "-Sn"),),
        "ipvsadm-conn.txt": (("ipvsadm", "-Lnc"),),
    },
    "iptables": {
        "iptables-save.txt": (("iptables-save", "-c"), ("iptables-legacy-save", "-c")),
        "ip6tables-save.txt": (("ip6tables-save", "-c"),),
        "nft.json": (("nft", "-j", "list", "table", "ip", "kube-proxy"),),
    },
    "nftables": {
        "nft.json": (("nft", "-j", "list", "ruleset"),),
        "iptables-save.txt": (("iptables-save", "-c"), ("iptables-legacy-save", "-c")),
        "ip6tables-save.txt": (("ip6tables-save", "-c"),),
    },
}

LEFT_OVER = "nft.json"
"""In iptables mode it holds what another mode left, and is there only where that is something."""
CONNECTIONS = ("conntrack.txt", "ipvsadm-conn.txt")


def collect(namespace: str, mode: Mode, folder: Path, cluster: Cluster) -> None:
    """Write every file of the state directory for this mode."""
    _write(namespace, {**COMMANDS, **BY_MODE[mode]}, folder)
    if mode == "iptables" and not (folder / LEFT_OVER).stat().st_size:
        (folder / LEFT_OVER).unlink()
    (folder / "proxy-mode.txt").write_text(f"{mode}\n")
    if answers := call(namespace, _health, cluster):
        (folder / NAME).write_text(answers)


def _health(cluster: Cluster) -> str:
    """What load balancers are told here; empty where nobody runs who would answer."""
    if not any(service.health_check_node_port for service in cluster.services):
        return ""
    answers = asked(cluster, Collector().own_addresses(cluster))
    told = [answer for answer in answers if answer.status]
    return health_answers.dump(told) if told else ""


def collect_connections(namespace: str, mode: Mode, folder: Path) -> None:
    """Only the tables of connections: the truth after the traffic."""
    every = {**COMMANDS, **BY_MODE[mode]}
    _write(namespace, {name: every[name] for name in CONNECTIONS if name in every}, folder)


def _write(namespace: str, files: dict[str, tuple[tuple[str, ...], ...]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, commands in files.items():
        texts = [run_in(namespace, command, check=False) for command in commands]
        (folder / name).write_text("".join(texts))
