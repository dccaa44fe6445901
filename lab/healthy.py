"""Healthy traffic of many kinds: what it looks like when nothing is lost."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from lab.server import ABORT

PATIENCE_S = 60.0
"""Under load a healthy answer may take this long; it is still an answer."""

Kind = Callable[[str, int], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many connections of which kinds, to where."""

    ip: str
    port: int
    dns_port: int
    count: int
    at_once: int = 100


async def _open(ip: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.wait_for(asyncio.open_connection(ip, port), PATIENCE_S)


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes = b"?\n"
) -> bool:
    writer.write(line)
    await writer.drain()
    return bool(await asyncio.wait_for(reader.readline(), PATIENCE_S))


async def short(ip: str, port: int) -> bool:
    """One question, one answer."""
    reader, writer = await _open(ip, port)
    good = await _ask(reader, writer)
    writer.close()
    await writer.wait_closed()
    return good


async def long(ip: str, port: int) -> bool:
    """Many questions over some seconds."""
    reader, writer = await _open(ip, port)
    good = True
    for _ in range(6):
        good = good and await _ask(reader, writer)
        await asyncio.sleep(0.7)
    writer.close()
    return good


async def idle(ip: str, port: int) -> bool:
    """Silence between two questions, longer than the wait for an answer."""
    reader, writer = await _open(ip, port)
    good = await _ask(reader, writer)
    await asyncio.sleep(6)
    good = good and await _ask(reader, writer)
    writer.close()
    return good


async def half_closed(ip: str, port: int) -> bool:
    """The client says that it has no more to say, before the answer."""
    reader, writer = await _open(ip, port)
    writer.write(b"?\n")
    await writer.drain()
    writer.write_eof()
    good = bool(await asyncio.wait_for(reader.readline(), PATIENCE_S))
    writer.close()
    return good


async def client_resets(ip: str, port: int) -> bool:
    """The client ends it with a reset, as load balancers' probes do."""
    reader, writer = await _open(ip, port)
    good = await _ask(reader, writer)
    home = writer.get_extra_info("socket")
    home.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()
    return good


async def server_resets(ip: str, port: int) -> bool:
    """The server ends it with a reset."""
    reader, writer = await _open(ip, port)
    good = await _ask(reader, writer)
    writer.write(b"bye\n")
    try:
        await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionError:
        return good
    finally:
        writer.transport.abort()
    return good


async def slow(ip: str, port: int) -> bool:
    """The server takes its time."""
    reader, writer = await _open(ip, port)
    good = await _ask(reader, writer, b"wait 4.5\n")
    writer.close()
    return good


async def datagrams(ip: str, port: int, line: bytes = b"?\n", answers: bool = True) -> bool:
    """A datagram and its answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((ip, port))
        await loop.sock_sendall(client, line)
        if not answers:
            await loop.sock_sendall(client, line)
            return True
        return bool(await asyncio.wait_for(loop.sock_recv(client, 4096), PATIENCE_S))


async def unanswered_by_design(ip: str, port: int) -> bool:
    """Datagrams that nobody means to answer, as statistics are sent."""
    return await datagrams(ip, port, b"!count\n", answers=False)


async def retried(ip: str, port: int) -> bool:
    """A client that asks again before a slow answer comes."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((ip, port))
        for _ in range(3):
            await loop.sock_sendall(client, b"wait 2.5\n")
            await asyncio.sleep(1)
        return bool(await asyncio.wait_for(loop.sock_recv(client, 4096), PATIENCE_S))


TCP: Mapping[str, tuple[Kind, int]] = {
    "short": (short, 80),
    "long": (long, 2),
    "idle": (idle, 2),
    "half-closed": (half_closed, 4),
    "reset by client": (client_resets, 4),
    "reset by server": (server_resets, 3),
    "slow": (slow, 2),
}
UDP: Mapping[str, tuple[Kind, int]] = {
    "datagram": (datagrams, 10),
    "unanswered by design": (unanswered_by_design, 3),
    "retried": (retried, 1),
}
"""Kinds with their share."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the clients say of it."""

    made: Mapping[str, int]
    failed: Mapping[str, int]
    seconds: float


def drive(crowd: Crowd) -> Outcome:
    """All of it, some at a time, from where this process is."""
    return asyncio.run(_drive(crowd))


async def _drive(crowd: Crowd) -> Outcome:
    kinds = [(name, kind, crowd.port, n) for name, (kind, n) in TCP.items()]
    kinds += [(name, kind, crowd.dns_port, n) for name, (kind, n) in UDP.items()]
    wheel = [(name, kind, port) for name, kind, port, share in kinds for _ in range(share)]
    made: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    numbers = iter(range(crowd.count))
    started = time.monotonic()

    async def worker() -> None:
        for number in numbers:
            # A prime step spreads each kind evenly over the run.
            name, kind, port = wheel[number * 61 % len(wheel)]
            made[name] += 1
            try:
                good = await kind(crowd.ip, port)
            except (OSError, TimeoutError):
                good = False
            failed[name] += not good

    await asyncio.gather(*(worker() for _ in range(crowd.at_once)))
    return Outcome(dict(made), dict(+failed), time.monotonic() - started)
