"""Live packets as batches."""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Sequence
from struct import unpack

import numpy as np
from scapy.arch.linux import L2ListenSocket

from tracer.clock import wall_ns
from tracer.errors import InputError, UnableError
from tracer.events import EventBatch, Loss, Origin
from tracer.packets import PacketQueue, decode_spans
from tracer.sources import Problem
from tracer.sources.sniff.program import (
    DEFAULT_EXPRESSION,
    assembled,
    is_compiler_available,
    socket_program,
)
from tracer.sources.sniff.receive import Received, Receiver, listen

DEFAULT_SNAP = 256
"""Enough for every header down to a packet quoted in an ICMP error."""
_SLOTS, _LEAST_SLOTS = 4096, 256
_ARENA_BYTES = 16 << 20
"""Memory for packets received at once, unless few slots would be left."""
_BUFFER_BYTES = 64 << 20
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_ETH_P_NONE = 0
_MARGIN_NS = 2_000_000
"""Between a packet's time stamp and its arrival in the socket's queue."""


class SniffSource:
    """Packets of all interfaces, or of those named; ``expression`` None takes everything."""

    name = "sniff"

    def __init__(
        self,
        interfaces: Sequence[str] = (),
        expression: str | None = DEFAULT_EXPRESSION,
        snap: int = DEFAULT_SNAP,
    ) -> None:
        self._wanted, self._expression, self._snap = tuple(interfaces), expression, snap
        self._problems: list[Problem] = []
        self._sockets: list[L2ListenSocket] = []
        self._receivers: dict[int, Receiver] = {}
        self._poll = select.poll()
        self._names: dict[int, str] = {}
        self._netns = 0
        self._until_ns = 0

    def problems(self) -> list[Problem]:
        """What is missing: the filter compiler, an interface that has gone."""
        return list(self._problems)

    def open(self) -> None:
        """Open the sockets with their filter; InputError and UnableError say what is wrong."""
        self._check_names()
        program = socket_program(assembled(self._usable_expression()))
        self._netns = os.stat("/proc/self/ns/net").st_ino
        try:
            for name in self._wanted or ("",):
                self._listen(name, program)
        except PermissionError as error:
            self.close()
            raise UnableError(
                "cannot capture packets", "opening a packet socket needs CAP_NET_RAW", "run as root"
            ) from error
        except OSError as error:
            self.close()
            raise UnableError("cannot capture packets", str(error)) from error

    def read(self, timeout: float) -> EventBatch | None:
        """What the sockets hold, at the latest after ``timeout`` seconds; never None."""
        ready = [fd for fd, _ in self._poll.poll(timeout * 1000)]
        come = wall_ns() - _MARGIN_NS
        queue = PacketQueue()
        seen: list[int] = []
        for fd in ready:
            received = self._received(fd)
            if received is None:
                continue
            if self._receivers[fd].is_full:
                come = min(come, int(received.times_ns.max()) - _MARGIN_NS)
            self._decode(received, queue)
            seen += np.unique(received.ifindexes).tolist()
        self._until_ns = max(self._until_ns, come)
        records, packets = queue.take(len(queue))
        return EventBatch(
            records,
            Origin.PACKETS,
            self._until_ns,
            lost=Loss(socket=self._drops()),
            interfaces=self._new_names(seen),
            packets=packets,
        )

    def close(self) -> None:
        """Close the sockets; safe to call twice."""
        for each in self._sockets:
            each.close()
        self._sockets.clear()
        self._receivers.clear()
        self._poll = select.poll()

    def _check_names(self) -> None:
        existing = [name for _, name in socket.if_nameindex()]
        missing = [name for name in self._wanted if name not in existing]
        if missing:
            raise InputError(
                f"no interface {', '.join(missing)}",
                f"this network namespace has {', '.join(existing)}",
                "name one of these, or none for all",
            )

    def _usable_expression(self) -> str | None:
        if self._expression is None or is_compiler_available():
            return self._expression
        self._problems.append(
            Problem("packet filter", "libpcap is missing", "every packet is read; install libpcap")
        )
        return None

    def _listen(self, name: str, program: object) -> None:
        """One socket; protocol 0 keeps it deaf until its filter and buffer are in place."""
        # scapy tells of a link type it cannot dissect; nothing is dissected here.
        logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
        opened = L2ListenSocket(iface=name or "lo", type=_ETH_P_NONE, promisc=False, nofilter=1)
        self._sockets.append(opened)
        inner: socket.socket = opened.ins
        inner.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)  # type: ignore[call-overload]
        try:
            inner.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        except PermissionError:
            inner.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        listen(inner.fileno(), socket.if_nametoindex(name) if name else 0)
        slots = max(_LEAST_SLOTS, min(_SLOTS, _ARENA_BYTES // self._snap))
        self._receivers[inner.fileno()] = Receiver(inner.fileno(), slots, self._snap)
        self._poll.register(inner.fileno(), select.POLLIN)

    def _received(self, fd: int) -> Received | None:
        """None, and a problem on the list, when the interface is down or has gone."""
        try:
            return self._receivers[fd].receive(wall_ns())
        except OSError as error:
            problem = Problem("packet capture", error.strerror or str(error))
            if problem not in self._problems:
                self._problems.append(problem)
            return None

    def _decode(self, received: Received, queue: PacketQueue) -> None:
        records, keep = decode_spans(
            received.spans, received.times_ns, received.ifindexes, self._netns
        )
        records["flags"] |= received.flags[keep]
        queue.add(records, received.spans.rows(keep).packed())

    def _drops(self) -> int:
        """Packets the kernel could not queue since last asked."""
        told = (each.ins.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8) for each in self._sockets)
        return sum(unpack("II", counts)[1] for counts in told)

    def _new_names(self, seen: Sequence[int]) -> dict[int, str]:
        """Names of interfaces seen for the first time; they come and go with pods."""
        new = set(seen) - self._names.keys()
        if not new:
            return {}
        existing = dict(socket.if_nameindex())
        named = {ifindex: existing.get(ifindex, "") for ifindex in new}
        self._names.update(named)
        return {ifindex: name for ifindex, name in named.items() if name}
