"""A node with two links in a namespace, and the far ends of the links in another."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.differential.frames import frame, ip_packet
from lab.differential.universe import ADDRESSES, PODS, ROUTES, SETS, UPLINK, Sent
from lab.netns import enter
from lab.shell import run

_PEERS = {UPLINK: "o0", PODS: "o1"}
_SYSCTLS = (
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv4.icmp_msgs_per_sec=1000000",
    "net.ipv4.icmp_msgs_burst=100000",
)
VARIED = ("ip_forward", "conf.all.rp_filter", "conf.all.route_localnet")
"""Under ``net.ipv4``; changed from one rule set to the next."""


class World:
    """Moves this process into the node's namespace; sends from both sides."""

    def __init__(self, node: str, outside: str) -> None:
        enter(outside)
        self._links = {device: _link(peer) for device, peer in _PEERS.items()}
        self._senders = {device: _mac(peer) for device, peer in _PEERS.items()}
        enter(node)
        self._targets = {device: _mac(device) for device in _PEERS}
        self._own: dict[str, socket.socket] = {}
        self.devices = dict(socket.if_nameindex())

    def send(self, sent: Sent) -> None:
        """Put a packet on its link, or hand it to the node's own network stack."""
        if sent.device:
            target, sender = self._targets[sent.device], self._senders[sent.device]
            self._links[sent.device].send(frame(sent, target, sender))
            return
        try:
            self._from(sent.src).sendto(ip_packet(sent), (sent.dst, 0))
        except OSError:  # refused by a rule or for want of a route: the observer tells
            return

    def close(self) -> None:
        """Close every socket."""
        for link in (*self._links.values(), *self._own.values()):
            link.close()

    def _from(self, source: str) -> socket.socket:
        """A socket bound to a source: routing depends on it."""
        if source not in self._own:
            made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            made.bind((source, 0))
            self._own[source] = made
        return self._own[source]


@contextmanager
def namespaces(prefix: str) -> Iterator[tuple[str, str]]:
    """Names of the node's namespace and of the outside's; both are removed afterwards."""
    node, outside = f"{prefix}n", f"{prefix}o"
    run(["ip", "netns", "add", node])
    try:
        run(["ip", "netns", "add", outside])
        try:
            _build(node, outside)
            yield node, outside
        finally:
            run(["ip", "netns", "del", outside])
    finally:
        run(["ip", "netns", "del", node])


def _build(node: str, outside: str) -> None:
    for device, peer in _PEERS.items():
        run(["ip", "-n", node, "link", "add", device, "type", "veth", "peer", "name", peer,
             "netns", outside])  # fmt: skip
        run(["ip", "-n", outside, "link", "set", peer, "up"])
        # Without ARP every next hop is there.
        run(["ip", "-n", node, "link", "set", device, "arp", "off", "up"])
    run(["ip", "-n", node, "link", "set", "lo", "up"])
    for device, text in ADDRESSES:
        run(["ip", "-n", node, "addr", "add", text, "dev", device])
    for network, gateway, device in ROUTES:
        run(["ip", "-n", node, "route", "add", network, "via", gateway, "dev", device])
    run(["ip", "netns", "exec", node, "sysctl", "-q", "-w", *_SYSCTLS])
    lines = []
    for name, (kind, members) in SETS.items():
        lines.append(f"create {name} {kind}" + (" range 0-65535" if "bitmap" in kind else ""))
        lines += [f"add {name} {member}" for member in members]
    run(["ip", "netns", "exec", node, "ipset", "restore"], "\n".join(lines) + "\n")


def set_sysctls(values: Sequence[int]) -> None:
    """Write ``VARIED`` in this process's namespace."""
    for name, value in zip(VARIED, values, strict=True):
        path = Path("/proc/sys/net/ipv4").joinpath(*name.split("."))
        path.write_text(f"{value}\n")


def _link(name: str) -> socket.socket:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.bind((name, 0))
    return link


def _mac(name: str) -> bytes:
    """From ``ip``, because ``/sys`` still shows the namespace where the process began."""
    (link,) = json.loads(run(["ip", "-j", "link", "show", "dev", name]))
    return bytes.fromhex(link["address"].replace(":", ""))


def unique_prefix() -> str:
    """So that two runs on one machine do not meet."""
    return f"diff{os.getpid()}"
