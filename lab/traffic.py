"""A counted number of connections to one address, with everything the client knows of each."""

from __future__ import annotations

import contextlib
import errno
import itertools
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from lab.server import plain

NAMES = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ECONNRESET: "reset",
    errno.ETIMEDOUT: "timeout",
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One connection or datagram exchange, as the client saw it."""

    protocol: str
    client_ip: str
    client_port: int
    virtual_ip: str
    virtual_port: int
    answered_by: str = ""
    """Name of the pod that answered; empty when nobody did."""
    seen_ip: str = ""
    """The source address that pod saw."""
    seen_port: int = 0
    failure: str = ""
    """``refused``, ``timeout``, ``unreachable``, ``reset`` or the error's own text."""

    def to_json(self) -> dict[str, object]:
        """Plain values, for a results file."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Load:
    """How much traffic, to where."""

    ip: str
    port: int
    tcp: int = 0
    """Number of TCP connections, one after another."""
    udp: int = 0
    """Number of UDP exchanges, each from its own port."""
    udp_port: int = 0
    """Port of the UDP exchanges; 0: the same."""
    timeout_s: float = 3.0
    """Patience per connection."""
    pause_s: float = 0.0
    """Between two connections."""
    first_port: int = 0
    """TCP ports are counted up from here; 0: from anywhere."""
    source_port: int = 0
    """The client's port, then one exchange at a time; 0: any."""
    payload: int = 0
    """Bytes that TCP connections send after their first answer, and want answered."""
    idle_s: float = 0.0
    """Pause of TCP connections before they ask once more."""


def drive(load: Load) -> list[Exchange]:
    """Run the load from where this process is; never raises for a connection that fails.

    No two exchanges share a source port, which would make one connection of them, or two
    connections with one name: UDP sockets stay open to the end, TCP ports are counted up.
    """
    family = socket.AF_INET6 if ":" in load.ip else socket.AF_INET
    ports = itertools.count(load.first_port or random.randrange(10240, 28000))
    found = []
    with contextlib.ExitStack() as still_open:
        for _ in range(load.tcp):
            with socket.socket(family, socket.SOCK_STREAM) as client:
                if load.source_port:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                _bind(client, iter([load.source_port]) if load.source_port else ports)
                found.append(_exchange(client, load, load.port))
            time.sleep(load.pause_s)
        for _ in range(load.udp):
            client = still_open.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if load.source_port:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind(("", load.source_port))
            found.append(_exchange(client, load, load.udp_port or load.port))
            time.sleep(load.pause_s)
    return found


def _bind(client: socket.socket, ports: Iterator[int]) -> None:
    """Take the next port that nobody holds."""
    for port in ports:
        with contextlib.suppress(OSError):
            client.bind(("", port))
            return


def _exchange(client: socket.socket, load: Load, port: int) -> Exchange:
    protocol = "tcp" if client.type == socket.SOCK_STREAM else "udp"
    client.settimeout(load.timeout_s)
    answer, failure = "", ""
    try:
        client.connect((load.ip, port))
        client.sendall(b"?\n")
        answer = client.recv(4096).decode()
        if protocol == "tcp" and (load.payload or load.idle_s):
            time.sleep(load.idle_s)
            client.sendall(b"." * load.payload + b"?\n")
            failure = "" if client.recv(4096) else "closed"
    except TimeoutError:
        failure = "timeout"
    except OSError as error:
        failure = NAMES.get(error.errno or 0, str(error))
    local = client.getsockname()
    name, seen_ip, seen_port = answer.split() if answer.count(" ") == 2 else ("", "", "0")
    return Exchange(
        protocol=protocol,
        client_ip=plain(local[0]),
        client_port=local[1],
        virtual_ip=load.ip,
        virtual_port=port,
        answered_by=name,
        seen_ip=seen_ip,
        seen_port=int(seen_port),
        failure=failure or ("" if answer else "closed"),
    )
