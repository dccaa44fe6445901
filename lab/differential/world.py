"""A node with two links in a namespace, and the far ends of the links in another."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lab.differential.frames import frame, ip_packet
from lab.differential.observer import LAST_PORT
from lab.differential.universe import PODS, UNIVERSES, UPLINK, Sent, Universe
from lab.netns import enter
from lab.shell import run

_PEERS = {UPLINK: "o0", PODS: "o1"}
_SYSCTLS = (
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv4.icmp_msgs_per_sec=1000000",
    "net.ipv4.icmp_msgs_burst=100000",
    # A redirect goes through OUTPUT with the packet's own connection, whose mark rules may set.
    *(f"net.ipv4.conf.{device}.send_redirects=0" for device in ("all", UPLINK, PODS)),
    "net.ipv6.icmp.ratelimit=0",
    "net.ipv6.icmp.ratemask=",
)


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
        # One processor, one queue: packets go through in the order in which they are sent.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

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

    def send_last(self, universe: Universe) -> int:
        """What tells the observer that nothing comes any more; how many packets."""
        for device in _PEERS:
            source, target = universe.outside[0], universe.nodes[0]
            self.send(Sent(0xFFFF, "udp", source, LAST_PORT, target, LAST_PORT, device))
        return len(_PEERS)

    def close(self) -> None:
        """Close every socket."""
        for link in (*self._links.values(), *self._own.values()):
            link.close()

    def _from(self, source: str) -> socket.socket:
        """A socket bound to a source: routing depends on it."""
        if source not in self._own:
            family = socket.AF_INET6 if ":" in source else socket.AF_INET
            made = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
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
        # Without ARP and neighbour discovery every next hop is there.
        run(["ip", "-n", node, "link", "set", device, "addrgenmode", "none", "arp", "off", "up"])
    run(["ip", "-n", node, "link", "set", "lo", "up"])
    lines = []
    for universe in UNIVERSES.values():
        nodad = "nodad" if universe.ipv6 else ""
        lines += [f"addr add {text} dev {device} {nodad}" for device, text in universe.addresses]
        lines.append(f"route add default via {universe.router} dev {UPLINK}")
    run(["ip", "-n", node, "-batch", "-"], "\n".join(lines) + "\n")
    run(["ip", "netns", "exec", node, "sysctl", "-q", "-w", *_SYSCTLS])
    run(["ip", "netns", "exec", node, "ipset", "restore", "-exist"], "".join(_sets()))


def _sets() -> Iterator[str]:
    for universe in UNIVERSES.values():
        family = "family inet6" if universe.ipv6 else ""
        for name, (kind, members) in universe.sets.items():
            yield f"create {name} {kind} {'range 0-65535' if 'bitmap' in kind else family}\n"
            yield from (f"add {name} {member}\n" for member in members)


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
