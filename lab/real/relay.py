"""A port of a node's own loopback that leads to the API server outside its namespace.

Another interface in the node would do as well, but kube-proxy serves node ports on every address
that a node has.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

from lab.netns import CLONE_NEWNET

CHUNK = 1 << 16


def relay(port: int, target: tuple[str, int], outside: int, ready: Connection) -> None:
    """Listen where this process is, connect from namespace ``outside`` (a descriptor), for ever."""
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(outside, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    ready.send(port)
    ready.close()
    asyncio.run(_serve(listener, target))


async def _serve(listener: socket.socket, target: tuple[str, int]) -> None:
    server = await asyncio.start_server(_both_ways(target), sock=listener)
    await server.serve_forever()


def _both_ways(
    target: tuple[str, int],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*target)
        except OSError:  # the server is down: so is its relay, for this connection
            writer.close()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    return accepted


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes as they come, to the end of either side."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
