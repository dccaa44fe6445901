"""The sysctls on which Service traffic depends, and what kube-proxy wants of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALWAYS = frozenset({"ipvs", "iptables", "nftables", ""})
IPVS = frozenset({"ipvs"})


@dataclass(frozen=True, slots=True)
class Sysctl:
    """One setting that matters."""

    name: str
    meaning: str
    wanted: str = ""
    """The value that works; empty where that depends."""
    modes: frozenset[str] = ALWAYS
    """kube-proxy's modes in which it matters."""


SYSCTLS: tuple[Sysctl, ...] = (
    Sysctl("net.ipv4.ip_forward", "packets to pods of other nodes are forwarded", "1"),
    Sysctl("net.ipv6.conf.all.forwarding", "the same for IPv6, where it is used"),
    Sysctl("net.bridge.bridge-nf-call-iptables", "bridged pod traffic meets the rules", "1"),
    Sysctl("net.bridge.bridge-nf-call-ip6tables", "the same for IPv6"),
    Sysctl("net.ipv4.vs.conntrack", "masquerading and conntrack see IPVS flows", "1", IPVS),
    Sysctl("net.ipv4.vs.expire_nodest_conn", "flows to a removed pod end at once", "1", IPVS),
    Sysctl("net.ipv4.vs.expire_quiescent_template", "affinity ends with its backend", "1", IPVS),
    Sysctl(
        "net.ipv4.vs.conn_reuse_mode",
        "1 from kernel 5.9, else 0: reused source ports wait a second or reach a removed pod",
        modes=IPVS,
    ),
    Sysctl(
        "net.ipv4.conf.all.arp_ignore",
        "with 0, every node answers ARP for the addresses on kube-ipvs0 (strictARP sets 1)",
        modes=IPVS,
    ),
    Sysctl("net.ipv4.conf.all.arp_announce", "strictARP sets 2", modes=IPVS),
    Sysctl("net.ipv4.conf.all.rp_filter", "with 1, packets on an unexpected path are dropped"),
    Sysctl("net.ipv4.conf.all.route_localnet", "node ports on 127.0.0.1 need 1 (iptables mode)"),
    Sysctl("net.netfilter.nf_conntrack_count", "connections tracked now"),
    Sysctl("net.netfilter.nf_conntrack_max", "new connections are dropped beyond this"),
    Sysctl(
        "net.netfilter.nf_conntrack_tcp_be_liberal",
        "with 0, packets out of the window are not translated back",
    ),
    Sysctl("net.ipv4.ip_local_port_range", "source ports that masquerading can choose from"),
    Sysctl("net.ipv4.ip_local_reserved_ports", "node ports ought to be reserved"),
)


def shown(values: Mapping[str, str], mode: str) -> list[tuple[Sysctl, str, bool]]:
    """(setting, value, whether it is wrong) of all that are known and matter in this mode."""
    return [
        (sysctl, values[sysctl.name], bool(sysctl.wanted) and values[sysctl.name] != sysctl.wanted)
        for sysctl in SYSCTLS
        if sysctl.name in values and mode in sysctl.modes
    ]
