"""This node's state, live: netlink and ``/proc`` first, kube-proxy's own word for its mode.

Cheap enough to repeat: a few milliseconds, but for the mode and the rules, which are asked
for rarely.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tracer.clock import wall_ns
from tracer.cluster.model import Cluster
from tracer.node import sysctl
from tracer.node.existing import PROC, own_netns
from tracer.node.identity import host_names, node_of, told_name
from tracer.node.ipvs_netlink import NETLINK_GENERIC, missing
from tracer.node.ipvs_servers import parse as parse_servers
from tracer.node.lines import Unread
from tracer.node.model import (
    IPVS_DEVICE,
    InterfaceAddress,
    MarkServer,
    NodeState,
    VirtualServer,
)
from tracer.node.netlink import NETLINK_ROUTE, Requests
from tracer.node.programmed import told_mode, traces
from tracer.node.programmed_rules import ProgrammedRules
from tracer.node.proxy_mode import TOLD_MODE, deduce
from tracer.node.rtnetlink import AddressWatcher, interface_addresses, links

__all__ = ["AddressWatcher", "Collector", "node_of"]

_CLOCK_MONOTONIC_COARSE = 6  # of linux/time.h; the module time has no name for it
_MOST_TICKS = 2000
"""Above it, that clock is not a coarse one: sandboxes replace it by a fine one."""
MODE_VALID_NS = 30_000_000_000
"""kube-proxy changes its mode by a restart only."""
SYSCTLS = (
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_acct",
    "net.netfilter.nf_conntrack_events",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_udp_timeout",
    "net.netfilter.nf_conntrack_udp_timeout_stream",
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.ip_local_port_range",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
)
"""Read one by one; every ``net.ipv4.vs.*`` and each interface's ``rp_filter`` besides."""


def ticks_per_s() -> int:
    """This kernel's CONFIG_HZ; 0 if it does not show.

    Its coarse clock advances once a tick, and tells so.
    """
    ticks = round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE))
    return ticks if ticks <= _MOST_TICKS else 0


class Collector:
    """Reads the state of the namespace this process is in, again and again."""

    def __init__(self, node_name: str = "", proc: Path = PROC) -> None:
        """``node_name``: as the user gave it, else it is told or found from a Cluster's nodes."""
        self._node_name = node_name or told_name()
        self._host_names = host_names()
        self._proc = proc
        self._mode = ""
        self._mode_told = False
        self._mode_unread = Unread("proxy mode")
        self._mode_asked_ns = -MODE_VALID_NS
        self._rules = ProgrammedRules(proc)

    def refresh_rules(self) -> None:
        """List rules, sets and routes again if they are due; the tools may take seconds."""
        self._rules.refresh()

    def collect(self, cluster: Cluster | None = None) -> NodeState:
        """The state now; what may not be read is not in ``known``, and named in ``unparsed``."""
        unread = Unread("node")
        netns = own_netns()
        addresses, names, masters = self._interfaces(unread)
        listed = self._servers(unread)
        servers, by_mark = listed or ((), ())
        sysctls = self._sysctls()
        mode = self._proxy_mode(addresses or (), servers)
        parts = {
            "addresses": addresses is not None,
            "interfaces": names is not None,
            "masters": masters is not None,
            "virtual_servers": listed is not None,
            "sysctls": bool(sysctls),
            "proxy_mode": bool(mode),
            TOLD_MODE: self._mode_told,
            "netns": bool(netns),
        }
        state = NodeState(
            addresses=addresses or (),
            interfaces=names or {},
            masters=masters or {},
            virtual_servers=servers,
            mark_servers=by_mark,
            sysctls=sysctls,
            proxy_mode=mode,
            netns=netns,
            at_ns=wall_ns(),
            known=frozenset(name for name, known in parts.items() if known),
            unparsed=unread.listed() + self._mode_unread.listed(),
        )
        state = self._rules.on(state)
        name = self._name(cluster, state)
        if not name:
            return state
        return replace(state, node_name=name, known=state.known | {"node_name"})

    def name_in(self, cluster: Cluster) -> str:
        """Which of the cluster's nodes this is; empty if that cannot be said."""
        addresses, _, _ = self._interfaces(Unread("node"))
        return self._name(cluster, NodeState(addresses=addresses or ()))

    def own_addresses(self, cluster: Cluster) -> tuple[bytes, ...]:
        """The addresses that this node has in the cluster, those that are really here."""
        addresses, _, _ = self._interfaces(Unread("node"))
        state = NodeState(addresses=addresses or ())
        name = self._name(cluster, state)
        listed = next((node.addresses for node in cluster.nodes if node.name == name), ())
        return tuple(ip for ip in listed if ip in state.local_addresses)

    @property
    def called(self) -> str:
        """The name to try where the nodes of the cluster may not be listed; may be wrong."""
        return self._node_name or socket.gethostname().lower()  # as the kubelet does

    def _name(self, cluster: Cluster | None, state: NodeState) -> str:
        if self._node_name or cluster is None:
            return self._node_name
        return node_of(cluster, state, self._host_names)

    def _interfaces(
        self, unread: Unread
    ) -> tuple[tuple[InterfaceAddress, ...] | None, dict[int, str] | None, dict[str, str] | None]:
        """Addresses, names by index and masters by name; None for all where they are refused."""
        try:
            requests = Requests(NETLINK_ROUTE)
            try:
                names, masters = links(requests)
                return interface_addresses(requests, names), names, masters
            finally:
                requests.close()
        except OSError as error:
            unread.add(0, f"interfaces cannot be listed: {error.strerror or error}")
            return None, None, None

    def _servers(
        self, unread: Unread
    ) -> tuple[tuple[VirtualServer, ...], tuple[MarkServer, ...]] | None:
        path = self._proc / "net/ip_vs"
        try:
            listed = parse_servers(path.read_text("ascii", "replace"), unread, ticks_per_s())
        except FileNotFoundError:
            return (), ()  # no IPVS in this kernel: there are none
        except OSError as error:
            unread.add(0, f"{path} cannot be read: {error.strerror}")
            return None
        return completed(*listed) if self._proc == PROC else listed

    def _sysctls(self) -> dict[str, str]:
        """Those that exist and can be read; many exist only with their module."""
        return dict(sysctl.readable(self._sysctl_paths(self._proc / "sys")))

    def _sysctl_paths(self, root: Path) -> Iterator[tuple[str, Path]]:
        yield from ((name, root.joinpath(*name.split("."))) for name in SYSCTLS)
        for path in sorted((root / "net/ipv4/vs").glob("*")):
            yield f"net.ipv4.vs.{path.name}", path
        for path in sorted((root / "net/ipv4/conf").glob("*/rp_filter")):
            interface = path.parent.name.replace(".", "/")  # as sysctl(8) writes it
            yield f"net.ipv4.conf.{interface}.rp_filter", path

    def _proxy_mode(
        self, addresses: tuple[InterfaceAddress, ...], servers: tuple[VirtualServer, ...]
    ) -> str:
        """The mode as told, else deduced; asked again only after ``MODE_VALID_NS``."""
        now = time.monotonic_ns()
        if now - self._mode_asked_ns < MODE_VALID_NS:
            return self._mode
        self._mode_asked_ns = now
        self._mode_unread = Unread("proxy mode")
        told = told_mode()
        self._mode_told = bool(told)
        self._mode = told or self._deduced_mode(addresses, servers)
        return self._mode

    def _deduced_mode(
        self, addresses: tuple[InterfaceAddress, ...], servers: tuple[VirtualServer, ...]
    ) -> str:
        bound = any(entry.interface == IPVS_DEVICE for entry in addresses)
        found = traces(self._mode_unread)
        return deduce(
            ipvs=bound and bool(servers), nft_table=found.nft_table, nat_chain=found.nat_chain
        )


def completed(
    by_address: tuple[VirtualServer, ...], by_mark: tuple[MarkServer, ...]
) -> tuple[tuple[VirtualServer, ...], tuple[MarkServer, ...]]:
    """These virtual servers and those that the listing left out; as they are if none may ask."""
    known = {(server.protocol, server.ip, server.port, 0) for server in by_address}
    known |= {(0, b"", 0, server.mark) for server in by_mark}
    try:
        requests = Requests(NETLINK_GENERIC)
        try:
            more, more_by_mark = missing(requests, known)
        finally:
            requests.close()
    except OSError:
        return by_address, by_mark
    return by_address + more, by_mark + more_by_mark
