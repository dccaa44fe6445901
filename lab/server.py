"""What runs in a pod: one process that answers on many TCP and UDP ports with its own name.

A line or datagram in, ``name peer-address peer-port`` out: so the client learns which pod took
the connection, and with which source address it arrived there.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterable
from multiprocessing.connection import Connection

BACKLOG = 1024
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
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.data == "accept":
                    _accept(key.fileobj, selector)
                elif key.data == "datagram":
                    _datagram(key.fileobj, name)
                else:
                    _line(key.fileobj, name, selector)


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


def _datagram(server: socket.socket, name: str) -> None:
    try:
        _, peer = server.recvfrom(LINE_LIMIT)
        server.sendto(_answer(name, peer[:2]), peer)
    except OSError:  # an earlier answer was refused; the client counts it as unanswered
        return


def _line(connection: socket.socket, name: str, selector: selectors.BaseSelector) -> None:
    try:
        if connection.recv(LINE_LIMIT):
            connection.send(_answer(name, connection.getpeername()[:2]))
            return
    except OSError:  # reset by the client: nothing left to answer
        pass
    selector.unregister(connection)
    connection.close()
