"""Many packets by one system call, into one arena, described by columns.

``recvmmsg`` is not in Python's socket module; its structures are those of 64-bit
Linux (``struct mmsghdr``, ``sockaddr_ll``, ``tpacket_auxdata``), as NumPy dtypes
over memory that is set up once.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from dataclasses import dataclass
from struct import pack

import numpy as np
import numpy.typing as npt

from tracer.events import Flag
from tracer.packets import LinkType, Spans
from tracer.packets.ragged import Bytes

_MAX_PER_CALL = 1024
"""UIO_MAXIOV: the kernel takes no more messages at once."""
_TAG_BYTES = 4
"""Kept free before each packet, for the VLAN tag that the kernel took out."""
_TAG_AT = 12
_ETH_P_ALL = 3
_PACKET_AUXDATA, _SOL_PACKET, _SO_TIMESTAMPNS = 8, 263, 35
_VLAN_VALID, _TPID_VALID, _DEFAULT_TPID = 0x10, 0x40, 0x8100
_ARPHRD_LOOPBACK, _OUTGOING = 772, 4
_UNKNOWN_LINK = 0xFFFF
_LINKS = {
    1: LinkType.ETHERNET,
    _ARPHRD_LOOPBACK: LinkType.ETHERNET,
    519: LinkType.RAW,
    768: LinkType.RAW,
    769: LinkType.RAW,
    776: LinkType.RAW,
    0xFFFE: LinkType.RAW,
}
"""ARPHRD numbers of ``linux/if_arp.h``: Ethernet, loopback, raw IP and plain tunnels."""

_MESSAGE = np.dtype(
    {
        "names": ["name", "name_bytes", "pieces", "count", "control", "control_bytes", "received"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 56],
        "itemsize": 64,
    }
)
_PIECE = np.dtype([("base", "u8"), ("bytes", "u8")])
_NAME = np.dtype(
    {
        "names": ["ifindex", "hardware", "kind"],
        "formats": ["i4", "u2", "u1"],
        "offsets": [4, 8, 10],
        "itemsize": 24,
    }
)
_CONTROL = np.dtype(
    {
        "names": [
            *("time_level", "time_type", "seconds", "nanoseconds"),
            *("aux_level", "aux_type", "status", "wire", "tag", "tag_type"),
        ],
        "formats": ["i4", "i4", "i8", "i8", "i4", "i4", "u4", "u4", "u2", "u2"],
        "offsets": [8, 12, 16, 24, 40, 44, 48, 52, 64, 66],
        "itemsize": 72,
    }
)
_TAG = np.dtype([("type", ">u2"), ("tag", ">u2")])


@dataclass(frozen=True, slots=True)
class Received:
    """Packets in the receiver's arena until its next ``receive``."""

    spans: Spans
    times_ns: npt.NDArray[np.int64]
    ifindexes: npt.NDArray[np.uint32]
    flags: npt.NDArray[np.uint16]


def listen(fd: int, ifindex: int) -> None:
    """Bind a packet socket to one interface, or with 0 to all, which Python's ``bind`` refuses."""
    name = pack("=HHi12x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), ifindex)
    if ctypes.CDLL(None, use_errno=True).bind(fd, name, len(name)) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Receiver:
    """Reads one packet socket; ``slots`` packets of at most ``snap`` bytes at a time."""

    def __init__(self, fd: int, slots: int, snap: int) -> None:
        self.is_full = False
        """The last ``receive`` filled every slot: more may wait."""
        self._fd, self._slots = fd, slots
        self._stride = snap + _TAG_BYTES
        self._arena: Bytes = np.zeros(slots * self._stride, dtype=np.uint8)
        self._names = np.zeros(slots, dtype=_NAME)
        self._control = np.zeros(slots, dtype=_CONTROL)
        self._pieces = np.zeros(slots, dtype=_PIECE)
        self._messages = np.zeros(slots, dtype=_MESSAGE)
        numbers = np.arange(slots, dtype=np.uint64)
        self._pieces["base"] = _addresses(self._arena, numbers, self._stride) + _TAG_BYTES
        self._pieces["bytes"] = snap
        self._messages["name"] = _addresses(self._names, numbers, _NAME.itemsize)
        self._messages["pieces"] = _addresses(self._pieces, numbers, _PIECE.itemsize)
        self._messages["count"] = 1
        self._messages["control"] = _addresses(self._control, numbers, _CONTROL.itemsize)
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg

    def receive(self, now_ns: int) -> Received:
        """All packets that wait, up to the slots; OSError if the interface has gone.

        ``now_ns`` stands for the time of a packet that the kernel gives none.
        """
        self._messages["name_bytes"] = _NAME.itemsize
        self._messages["control_bytes"] = _CONTROL.itemsize
        count = 0
        while count < self._slots:
            wanted = min(self._slots - count, _MAX_PER_CALL)
            got = self._receive_into(count, wanted)
            count += got
            if got < wanted:
                break
        self.is_full = count == self._slots
        return self._described(count, now_ns)

    def _receive_into(self, first: int, count: int) -> int:
        at = ctypes.c_void_p(self._messages.ctypes.data + first * _MESSAGE.itemsize)
        got = int(self._call(self._fd, at, count, socket.MSG_DONTWAIT, None))
        if got >= 0:
            return got
        error = ctypes.get_errno()
        if error in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(error, os.strerror(error))

    def _described(self, count: int, now_ns: int) -> Received:
        names, control = self._names[:count], self._control[:count]
        timed = (control["time_level"] == socket.SOL_SOCKET) & (
            control["time_type"] == _SO_TIMESTAMPNS
        )
        told = (control["aux_level"] == _SOL_PACKET) & (control["aux_type"] == _PACKET_AUXDATA)
        captured = self._messages["received"][:count].astype(np.int64)
        starts = np.arange(count, dtype=np.int64) * self._stride + _TAG_BYTES
        wire = np.where(told, control["wire"], captured)
        tagged = told & (control["status"] & _VLAN_VALID != 0) & (captured >= _TAG_AT)
        if tagged.any():
            self._put_tags_back(np.flatnonzero(tagged), starts)
        grown = tagged * _TAG_BYTES
        spans = Spans(
            self._arena,
            starts - grown,
            captured + grown,
            (wire + grown).astype(np.uint32),
            _link_types(names["hardware"]),
        )
        outgoing = np.where(names["kind"] == _OUTGOING, Flag.OUTGOING, 0)
        loopback = np.where(names["hardware"] == _ARPHRD_LOOPBACK, Flag.LOOPBACK, 0)
        times = control["seconds"] * 10**9 + control["nanoseconds"]
        return Received(
            spans,
            _in_order(np.where(timed, times, now_ns).astype(np.int64)),
            names["ifindex"].astype(np.uint32),
            (outgoing | loopback).astype(np.uint16),
        )

    def _put_tags_back(self, rows: npt.NDArray[np.intp], starts: npt.NDArray[np.int64]) -> None:
        """Move the addresses of tagged frames forward and the tag in behind them."""
        slots = self._arena.reshape(self._slots, self._stride)
        slots[rows, :_TAG_AT] = slots[rows, _TAG_BYTES : _TAG_BYTES + _TAG_AT]
        control = self._control[rows]
        tags = np.zeros(rows.size, dtype=_TAG)
        stated = control["status"] & _TPID_VALID != 0
        tags["type"] = np.where(stated, control["tag_type"], _DEFAULT_TPID)
        tags["tag"] = control["tag"]
        slots[rows, _TAG_AT : _TAG_AT + _TAG_BYTES] = tags.view(np.uint8).reshape(-1, _TAG_BYTES)


def _in_order(times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """No packet later than one that came after it.

    The kernel turns time stamps on by a deferred job (``net_enable_timestamp``); packets
    that come before it has run are stamped when they are read.
    """
    return np.minimum.accumulate(times_ns[::-1])[::-1]


def _addresses(
    array: npt.NDArray[np.generic], numbers: npt.NDArray[np.uint64], stride: int
) -> npt.NDArray[np.uint64]:
    """Where in memory each slot of an array begins; the array must live as long."""
    return numbers * np.uint64(stride) + np.uint64(array.ctypes.data)


def _link_types(hardware: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    links = np.full(hardware.size, _UNKNOWN_LINK, dtype=np.uint16)
    for kind, link in _LINKS.items():
        links[hardware == kind] = link
    return links
