"""Three namespaces in a row, client - node - backend, with a Service in every engine."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLIENT, NODE, BACKEND = "vpk-client", "vpk-node", "vpk-backend"
MODULES = (
    *("ip_vs", "ip_vs_rr", "nf_nat", "dummy", "nft_nat", "nft_chain_nat", "veth", "xt_nat"),
    *("xt_MASQUERADE", "iptable_nat", "ip6table_nat", "nf_reject_ipv4", "nft_compat"),
)
BACKENDS = {4: "10.222.2.2", 6: "fd22:2::2"}
SOURCES = {4: "10.222.1.2", 6: "fd22:1::2"}
VIPS = {
    "ipvs": {4: "10.96.0.10", 6: "fd96::10"},
    "iptables": {4: "10.96.0.20", 6: "fd96::20"},
    "legacy": {4: "10.96.0.30", 6: "fd96::30"},
    "nftables": {4: "10.96.0.40", 6: "fd96::40"},
}
PORT = 8080

_NFT = """
table ip vpk {{
  chain pre {{
    type nat hook prerouting priority -100;
    ip daddr {v4} tcp dport 80 dnat to {b4}:8080
  }}
}}
table ip6 vpk {{
  chain pre {{
    type nat hook prerouting priority -100;
    ip6 daddr {v6} tcp dport 80 dnat to [{b6}]:8080
  }}
}}
"""


def run(command: str, **options: str) -> str:
    """Output of a command that must work."""
    done = subprocess.run(
        command.split(), check=True, capture_output=True, text=True, input=options.get("stdin")
    )
    return done.stdout


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread is in another network namespace while inside; sockets stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        assert libc.setns(there, 0) == 0
        yield
    finally:
        libc.setns(home, 0)
        os.close(home)
        os.close(there)


def inode(name: str) -> int:
    """Number of a namespace, as records carry it."""
    return Path(f"/run/netns/{name}").stat().st_ino


def build() -> None:
    """Namespaces, links, addresses, and the same Service in four engines."""
    for name in (CLIENT, NODE, BACKEND):
        run(f"ip netns add {name}")
        run(f"ip -n {name} link set lo up")
    run(f"ip link add c0 netns {CLIENT} type veth peer name n0 netns {NODE}")
    run(f"ip link add b0 netns {BACKEND} type veth peer name n1 netns {NODE}")
    for name, device, v4, v6 in (
        (CLIENT, "c0", SOURCES[4], SOURCES[6]),
        (NODE, "n0", "10.222.1.1", "fd22:1::1"),
        (BACKEND, "b0", BACKENDS[4], BACKENDS[6]),
        (NODE, "n1", "10.222.2.1", "fd22:2::1"),
    ):
        run(f"ip -n {name} addr add {v4}/24 dev {device}")
        run(f"ip -n {name} addr add {v6}/64 dev {device} nodad")
        run(f"ip -n {name} link set {device} up")
    for name, v4, v6 in (
        (CLIENT, "10.222.1.1", "fd22:1::1"),
        (BACKEND, "10.222.2.1", "fd22:2::1"),
    ):
        run(f"ip -n {name} route add default via {v4}")
        run(f"ip -n {name} -6 route add default via {v6}")
    on_node("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    on_node("sysctl -qw net.netfilter.nf_conntrack_acct=1")
    _program_ipvs()
    _program_rules()


def on_node(command: str, **options: str) -> str:
    """Output of a command in the node's namespace."""
    return run(f"ip netns exec {NODE} {command}", **options)


def _program_ipvs() -> None:
    run(f"ip -n {NODE} link add kube-ipvs0 type dummy")
    for family, bits in ((4, 32), (6, 128)):
        vip, backend = VIPS["ipvs"][family], BACKENDS[family]
        vip_text, backend_text = (f"[{vip}]", f"[{backend}]") if family == 6 else (vip, backend)
        run(f"ip -n {NODE} addr add {vip}/{bits} dev kube-ipvs0")
        on_node(f"ipvsadm -A -t {vip_text}:80 -s rr")
        on_node(f"ipvsadm -a -t {vip_text}:80 -r {backend_text}:{PORT} -m")
        on_node(f"ipvsadm -A -t {vip_text}:81 -s rr")
    on_node("sysctl -qw net.ipv4.vs.conntrack=1")


def _program_rules() -> None:
    for family, tool in ((4, "iptables"), (6, "ip6tables")):
        backend = BACKENDS[family]
        target = f"[{backend}]:{PORT}" if family == 6 else f"{backend}:{PORT}"
        for engine, suffix in (("iptables", "nft"), ("legacy", "legacy")):
            vip = VIPS[engine][family]
            rule = f"-d {vip} -p tcp --dport 80 -j DNAT --to-destination {target}"
            on_node(f"{tool}-{suffix} -t nat -A PREROUTING {rule}")
    on_node(f"iptables-nft -t nat -A POSTROUTING -d {BACKENDS[4]} -p tcp -j MASQUERADE")
    on_node(f"iptables-nft -A FORWARD -d {BACKENDS[4]} -p tcp --dport 9999 -j DROP")
    reject = "-p tcp --dport 9998 -j REJECT --reject-with tcp-reset"
    on_node(f"iptables-nft -A FORWARD -d {BACKENDS[4]} {reject}")
    vips = VIPS["nftables"]
    text = _NFT.format(v4=vips[4], v6=vips[6], b4=BACKENDS[4], b6=BACKENDS[6])
    on_node("nft -f -", stdin=text)


def remove() -> None:
    """Take the namespaces away, with everything in them."""
    for name in (CLIENT, NODE, BACKEND):
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Echo:
    """A TCP server in the backend's namespace that answers every byte."""

    def __init__(self) -> None:
        with inside(BACKEND):
            self._socket = socket.create_server(
                ("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512
            )
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        # A client that leaves by a reset has left: a thread's error would fail another's test.
        with peer, suppress(ConnectionError):
            while data := peer.recv(4096):
                peer.sendall(data)

    def close(self) -> None:
        """Stop accepting."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def connect(host: str, port: int, timeout: float = 10.0) -> socket.socket:
    """A connection from the client's namespace."""
    with inside(CLIENT):
        return socket.create_connection((host, port), timeout)


def exchange(peer: socket.socket, times: int = 1) -> None:
    """One packet there, one back."""
    for _ in range(times):
        peer.sendall(b"x" * 100)
        received = 0
        while received < 100:
            data = peer.recv(4096)
            assert data, "the backend closed the connection"
            received += len(data)
