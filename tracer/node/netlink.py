"""Raw netlink sockets: many datagrams a system call, into one buffer.

pyroute2 builds objects for every message; a connection table or a burst of events needs
columns, so the bytes go to ``attributes`` as they are.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from tracer.node.attributes import Block, Messages, messages

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NETLINK_ADD_MEMBERSHIP = 1
_SOL_NETLINK = 270
_SO_RCVBUFFORCE = 33
_MSG_TRUNC = 0x20
_HEADER = struct.Struct("=IHHII")


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Iovec)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Mmsghdr(ctypes.Structure):
    _fields_ = [("header", _Msghdr), ("length", ctypes.c_uint32)]


_LENGTHS = np.dtype(
    {
        "names": ["flags", "length"],
        "formats": ["<i4", "<u4"],
        "offsets": [_Msghdr.flags.offset, _Mmsghdr.length.offset],
        "itemsize": ctypes.sizeof(_Mmsghdr),
    }
)


class Mailbox:
    """Room for ``slots`` datagrams of up to ``slot_bytes``, filled by one ``recvmmsg``."""

    def __init__(self, slots: int, slot_bytes: int) -> None:
        self._slots = slots
        self._stride = slot_bytes // 4
        self._words = np.zeros(slots * self._stride + 4, dtype=np.uint32)
        base = self._words.ctypes.data
        vectors = [_Iovec(base + slot * slot_bytes, slot_bytes) for slot in range(slots)]
        self._vectors = (_Iovec * slots)(*vectors)
        headers = bytearray(ctypes.sizeof(_Mmsghdr) * slots)
        self._messages = (_Mmsghdr * slots).from_buffer(headers)
        for message, vector in zip(self._messages, self._vectors, strict=True):
            message.header.vectors = ctypes.pointer(vector)
            message.header.vectors_length = 1
        self._lengths = np.frombuffer(headers, dtype=_LENGTHS)
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg

    def fill(self, descriptor: int) -> tuple[Block, int]:
        """What waits at a socket, and how many datagrams were too long for a slot.

        Never blocks; the block is a view that the next call overwrites. OSError with
        ENOBUFS when the kernel had to drop datagrams before.
        """
        count = self._recvmmsg(descriptor, self._messages, self._slots, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
            count = 0
        starts = np.arange(count) * self._stride
        got = self._lengths[:count]
        whole = (got["flags"] & _MSG_TRUNC) == 0
        ends = starts + got["length"].astype(np.int64) // 4
        return Block(self._words, starts[whole], ends[whole]), int(np.count_nonzero(~whole))


def subscribe(protocol: int, groups: Sequence[int], buffer_bytes: int) -> socket.socket:
    """A non-blocking socket in these multicast groups; OSError as the kernel says it."""
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        enlarge(channel, buffer_bytes)
        channel.bind((0, 0))
        for group in groups:
            channel.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        channel.close()
        raise
    channel.setblocking(False)
    return channel


def enlarge(channel: socket.socket, buffer_bytes: int) -> None:
    """Give a socket this much receive buffer; without CAP_NET_ADMIN as much as is allowed."""
    try:
        channel.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
    except PermissionError:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)


class HasDescriptor(Protocol):
    """A socket, or something around one."""

    def fileno(self) -> int:
        """Its descriptor."""


def readable(channel: HasDescriptor, timeout: float) -> bool:
    """Whether something (also an error) waits at a socket, at the latest after these seconds."""
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    return bool(poller.poll(timeout * 1000))


def dropped(channel: socket.socket) -> int:
    """Datagrams the kernel has dropped at a socket since it was opened; 0 if it does not say.

    To be asked after ENOBUFS, which itself does not tell how many.
    """
    wanted = [str(channel.proto), str(channel.getsockname()[0])]
    try:
        lines = Path("/proc/net/netlink").read_text().splitlines()
    except OSError:
        return 0
    for line in lines[1:]:
        fields = line.split()  # sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
        if len(fields) > 8 and fields[1:3] == wanted:
            return int(fields[8])
    return 0


class Requests:
    """A socket for questions to the kernel: tables, and single objects."""

    def __init__(self, protocol: int) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        enlarge(self._socket, 4 << 20)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._socket.close()

    def dump(self, message_type: int, body: bytes) -> Iterator[bytes]:
        """The datagrams of a whole table; OSError as the kernel answers.

        TimeoutError when the kernel is silent for a second.
        """
        sequence = self._send([(message_type, NLM_F_REQUEST | NLM_F_DUMP, body)])
        while True:
            data = self._receive()
            error, last, ours = _inspect(data, sequence)
            if error:
                raise OSError(error, os.strerror(error))
            if ours:
                yield data
            if last:
                return

    def listed(self, question: int, answer: int, body: bytes) -> Messages:
        """A whole table, only its messages of the type ``answer``; OSError as for ``dump``."""
        found = messages(Block.of(list(self.dump(question, body))))
        return found.chosen(found.types == answer)

    def ask(self, message_type: int, bodies: Sequence[bytes]) -> list[bytes]:
        """The answers to single requests, without those that met an error.

        A kernel that knows no such object answers ENOENT; any other error is raised.
        """
        first = self._send([(message_type, NLM_F_REQUEST, body) for body in bodies])
        answers: list[bytes] = []
        answered = 0
        while answered < len(bodies):
            data = self._receive()
            error, _, ours = _inspect(data, first)
            if error and error != errno.ENOENT:
                raise OSError(error, os.strerror(error))
            answered += ours
            if ours and not error:
                answers.append(data)
        return answers

    def _send(self, requests: Sequence[tuple[int, int, bytes]]) -> int:
        """Send all at once; the sequence number of the first."""
        first = self._sequence + 1
        parts = []
        for message_type, flags, body in requests:
            self._sequence += 1
            length = _HEADER.size + len(body)
            parts.append(_HEADER.pack(length, message_type, flags, self._sequence, 0))
            parts.append(body + bytes(-len(body) % 4))
        self._socket.sendto(b"".join(parts), (0, 0))
        return first

    def _receive(self) -> bytes:
        if not readable(self._socket, 1.0):
            raise TimeoutError("the kernel did not answer a netlink request")
        return self._socket.recv(1 << 18)


def _inspect(data: bytes, first: int) -> tuple[int, bool, bool]:
    """Error number (0 none), whether the table ends here, and whether this answers ``first`` on."""
    position, error, last, ours = 0, 0, False, False
    while position + _HEADER.size <= len(data):
        length, message_type, _, sequence, _ = _HEADER.unpack_from(data, position)
        if length < _HEADER.size:
            break
        if sequence >= first:
            ours = True
            if message_type in (_NLMSG_ERROR, _NLMSG_DONE):
                last = True
                error = _error_at(data, position + _HEADER.size)
        position += length + 3 & ~3
    return error, last, ours


def _error_at(data: bytes, position: int) -> int:
    if position + 4 > len(data):
        return 0
    (negative,) = struct.unpack_from("=i", data, position)
    return -int(negative)
