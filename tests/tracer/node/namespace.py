"""A network namespace with one translated Service on its loopback interface.

Client 10.1.0.1, Service 10.96.0.10 (80/tcp, 53/udp), backend 10.1.0.2 (8080, 8053), source after
translation 10.1.0.9; and the same in IPv6. Everything here runs inside the namespace.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lab.netns import call

IPTABLES = """
{tool} -t nat -A OUTPUT -d {service} -p tcp --dport 80 -j DNAT --to-destination {backend_tcp}
{tool} -t nat -A OUTPUT -d {service} -p udp --dport 53 -j DNAT --to-destination {backend_udp}
{tool} -t nat -A POSTROUTING -d {backend} -j SNAT --to-source {source}
"""
NFT = """
nft add table {family} vtct
nft add chain {family} vtct out '{{ type nat hook output priority -100; }}'
nft add chain {family} vtct post '{{ type nat hook postrouting priority 100; }}'
nft add rule {family} vtct out {family} daddr {service} tcp dport 80 dnat to {backend_tcp}
nft add rule {family} vtct out {family} daddr {service} udp dport 53 dnat to {backend_udp}
nft add rule {family} vtct post {family} daddr {backend} snat to {source}
"""
RULES = {"iptables": IPTABLES, "nft": NFT}
FAMILIES = (
    {
        "family": "ip",
        "tool": "iptables",
        "service": "10.96.0.10",
        "backend": "10.1.0.2",
        "source": "10.1.0.9",
        "backend_tcp": "10.1.0.2:8080",
        "backend_udp": "10.1.0.2:8053",
        "setup": "ip addr add 10.1.0.1/32 dev lo\nip addr add 10.1.0.2/32 dev lo\n"
        "ip addr add 10.1.0.9/32 dev lo\nip route add 10.96.0.0/16 dev lo src 10.1.0.1",
    },
    {
        "family": "ip6",
        "tool": "ip6tables",
        "service": "fd00:96::10",
        "backend": "fd01::2",
        "source": "fd01::9",
        "backend_tcp": "[fd01::2]:8080",
        "backend_udp": "[fd01::2]:8053",
        "setup": "ip addr add fd01::1/128 dev lo nodad\nip addr add fd01::2/128 dev lo nodad\n"
        "ip addr add fd01::9/128 dev lo nodad\nip route add fd00:96::/32 dev lo src fd01::1",
    },
)
SERVICES = ((socket.AF_INET, "10.96.0.10"), (socket.AF_INET6, "fd00:96::10"))


@contextmanager
def namespace() -> Iterator[str]:
    """A namespace of our own, gone afterwards."""
    name = f"vtct{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def inside(work, *args):
    """``work(*args)`` in a process in a namespace of its own."""
    with namespace() as name:
        return call(name, work, *args)


def run(script: str) -> str:
    """Shell commands, all of which must succeed; what they printed."""
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def translate(rules: str) -> None:
    """Addresses, rules and servers."""
    run("ip link set lo up; sysctl -qw net.netfilter.nf_conntrack_acct=1")
    for family in FAMILIES:
        run(family["setup"])
        run(RULES[rules].format(**family))
        _serve(socket.AF_INET if family["family"] == "ip" else socket.AF_INET6, family["backend"])


def _serve(family: int, address: str) -> None:
    listener = socket.create_server((address, 8080), family=family, backlog=128)
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    receiver.bind((address, 8053))

    def accept() -> None:
        kept = []
        while True:
            connection, _ = listener.accept()
            connection.sendall(b"hello")
            kept.append(connection)

    def echo() -> None:
        while True:
            data, sender = receiver.recvfrom(64)
            receiver.sendto(data, sender)

    for work in (accept, echo):
        threading.Thread(target=work, daemon=True).start()


def talk(tcp: int, udp: int) -> list[socket.socket]:
    """Answered connections to both Services, this many of each; they stay open."""
    opened = []
    for family, service in SERVICES:
        for kind, port, count in ((socket.SOCK_STREAM, 80, tcp), (socket.SOCK_DGRAM, 53, udp)):
            for _ in range(count):
                connection = socket.socket(family, kind)
                connection.settimeout(5)
                connection.connect((service, port))
                if kind == socket.SOCK_DGRAM:
                    connection.send(b"x")
                assert connection.recv(64)
                opened.append(connection)
    return opened
