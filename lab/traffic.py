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
from typing import Literal

from lab.server import ABORT, plain

Ending = Literal["close", "half", "reset"]

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
    line: bytes = b"?\n"
    """What is asked first; see ``lab.server``."""
    again: int = 0
    """How often TCP connections ask once more; 0: as often as pause or payload want it."""
    last: bytes = b"?\n"
    """What they ask then."""
    repeats: int = 0
    """Further copies of a datagram, a second apart, before its answer is waited for."""
    ending: Ending = "close"
    """How TCP clients end it; ``half`` says that it has no more to say before the answer."""
    one_way: bool = False
    """Datagrams that nobody means to answer."""


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
        answer = _first_answer(client, load)
        failure = "" if answer or load.one_way else "closed"
        if protocol == "tcp" and not failure:
            failure = _go_on(client, load)
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
        failure=failure,
    )


def _first_answer(client: socket.socket, load: Load) -> str:
    """The answer to the first question; empty where none is meant to come."""
    client.sendall(load.line)
    for _ in range(load.repeats):
        time.sleep(1.0)
        client.sendall(load.line)
    if load.ending == "half":
        client.shutdown(socket.SHUT_WR)
    return "" if load.one_way else client.recv(4096).decode()


def _go_on(client: socket.socket, load: Load) -> str:
    """Ask as often as it wants, and end it as it wants; what failed."""
    once = 1 if load.payload or load.idle_s else 0
    for _ in range(load.again or once):
        time.sleep(load.idle_s)
        client.sendall(b"." * load.payload + load.last)
        if not client.recv(4096):
            return "closed"
    if load.ending == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    return ""
