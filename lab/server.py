"""What runs in a pod: one process that answers on many TCP and UDP ports with its own name.

A line or datagram in, ``name peer-address peer-port`` out: so the client learns which pod took
the connection, and with which source address it arrived there. ``wait S`` is answered S seconds
later, ``bye`` with a reset, and a datagram that begins with ``!`` not at all.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import struct
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection

BACKLOG = 1024
NEVER, SLOW, RESET = b"!", b"wait ", b"bye"
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing resets."""
MAPPED = "::ffff:"
LINE_LIMIT = 4096


def serve(name: str, tcp_ports: Iterable[int], udp_ports: Iterable[int], ready: Connection) -> None:
    """Bind every port on both families, say so through ``ready``, answer for ever."""
    with selectors.DefaultSelector() as selector:
        for port in tcp_ports:
            selector.register(_bound(socket.SOCK_STREAM, port), selectors.EVENT_READ, "accept")
        for port in udp_ports:
            selector.register(_bound(socket.SOCK_DGRAM, port), selectors.EVENT_READ, "datagram")
        ready.send(name)
        ready.close()
        later = _Later()
        while True:
            for key, _ in selector.select(later.next_s()):
                assert isinstance(key.fileobj, socket.socket)
                if key.data == "accept":
                    _accept(key.fileobj, selector)
                elif key.data == "datagram":
                    _datagram(key.fileobj, name, later)
                else:
                    _line(key.fileobj, name, selector, later)
            later.run()


class _Later:
    """Answers that wait."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, socket.socket, bytes, object]] = []
        self._numbers = itertools.count()

    def add(self, seconds: float, home: socket.socket, answer: bytes, peer: object = None) -> None:
        """Send ``answer`` then; to ``peer`` where the socket has none of its own."""
        due = time.monotonic() + seconds
        heapq.heappush(self._due, (due, next(self._numbers), home, answer, peer))

    def next_s(self) -> float | None:
        """Seconds until the next one; None without any."""
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None

    def run(self) -> None:
        """Send what is due."""
        while self._due and self._due[0][0] <= time.monotonic():
            *_, home, answer, peer = heapq.heappop(self._due)
            with contextlib.suppress(OSError):  # the client has gone meanwhile
                if peer is None:
                    home.send(answer)
                else:
                    home.sendto(answer, peer)  # type: ignore[call-overload]


def _delay_s(line: bytes) -> float:
    """How long the client wants to wait; 0 unless it says so."""
    if not line.startswith(SLOW):
        return 0.0
    try:
        return float(line.removeprefix(SLOW).split()[0])
    except (ValueError, IndexError):
        return 0.0


def plain(ip: str) -> str:
    """A peer's address as text, IPv4 without its mapping."""
    return ip.removeprefix(MAPPED)


def _bound(kind: socket.SocketKind, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6, kind)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    server.setblocking(False)
    if kind == socket.SOCK_STREAM:
        server.listen(BACKLOG)
    return server


def _answer(name: str, peer: tuple[str, int]) -> bytes:
    return f"{name} {plain(peer[0])} {peer[1]}\n".encode()


def _accept(server: socket.socket, selector: selectors.BaseSelector) -> None:
    try:
        connection, _ = server.accept()
    except OSError:  # the client gave up between the two calls
        return
    connection.setblocking(False)
    selector.register(connection, selectors.EVENT_READ, "line")


def _datagram(server: socket.socket, name: str, later: _Later) -> None:
    try:
        line, peer = server.recvfrom(LINE_LIMIT)
        if not line.startswith(NEVER):
            later.add(_delay_s(line), server, _answer(name, peer[:2]), peer)
    except OSError:  # an earlier answer was refused; the client counts it as unanswered
        return


def _line(
    connection: socket.socket, name: str, selector: selectors.BaseSelector, later: _Later
) -> None:
    try:
        line = connection.recv(LINE_LIMIT)
        if line.startswith(RESET):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        elif line:
            answer = _answer(name, connection.getpeername()[:2])
            if delay_s := _delay_s(line):
                later.add(delay_s, connection, answer)
            else:
                connection.send(answer)
            return
    except OSError:  # reset by the client: nothing left to answer
        pass
    selector.unregister(connection)
    connection.close()
