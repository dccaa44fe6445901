"""pcapng out of batches: whole batches become blocks by columns.

Source: draft-ietf-opsawg-pcapng. Little-endian, nanoseconds, one interface
description for each capture point; Wireshark and tcpdump read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import pack
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tracer import address
from tracer.capture_file import blocks
from tracer.capture_file.interface import described
from tracer.events import EventBatch, Flag, PacketBytes, Records
from tracer.packets.ragged import Bytes, Mask, Offsets, copy_ranges, starts_of, windows

_HEAD = np.dtype(
    [(name, "<u4") for name in ("kind", "length", "id", "high", "low", "captured", "wire")]
)
_DIRECTION = np.frombuffer(pack("<HHIHH", 2, 4, 2, 0, 0), dtype=np.uint8)
"""epb_flags "outbound" and the end of options."""
_COMMENT, _APPLICATION, _NAME, _DESCRIPTION, _RESOLUTION = 1, 4, 2, 3, 9
_NAME_V4, _NAME_V6, _NAME_END = 1, 2, 0
_MAX_TEXT_BYTES = 4096


class CaptureWriter:
    """Writes one pcapng section to a stream, which stays the caller's to close."""

    def __init__(self, stream: BinaryIO, application: str = "viptrace") -> None:
        self._stream = stream
        self._ids: dict[tuple[int, int, int], int] = {}
        self._names: dict[int, str] = {}
        head = pack("<IHHq", blocks.BYTE_ORDER_MAGIC, 1, 0, -1)
        self._block(blocks.SECTION, head + _options([(_APPLICATION, application.encode())]))

    def interface(self, ifindex: int, netns: int, link_type: int, name: str = "") -> int:
        """The file's number of a capture point, described now if it is new."""
        key = (ifindex, netns, link_type)
        if key not in self._ids:
            self._ids[key] = len(self._ids)
            said = [
                (_NAME, (name or f"if{ifindex}").encode()),
                (_DESCRIPTION, described(ifindex, netns).encode()),
                (_RESOLUTION, b"\x09"),
            ]
            self._block(blocks.INTERFACE, pack("<HHI", link_type, 0, 0) + _options(said))
        return self._ids[key]

    def names(self, names: Mapping[bytes, str]) -> None:
        """A name for each 16-byte address, for readers to show."""
        body = bytearray()
        for packed, name in names.items():
            short = address.is_ipv4(packed)
            value = (packed[12:] if short else packed) + _clean(name) + b"\0"
            body += _option(_NAME_V4 if short else _NAME_V6, value)
        self._block(blocks.NAMES, bytes(body) + pack("<HH", _NAME_END, 0))

    def know(self, interfaces: Mapping[int, str]) -> None:
        """Names for interfaces that are described from now on."""
        self._names.update(interfaces)

    def write(self, batch: EventBatch, comments: Mapping[int, str] | None = None) -> None:
        """Append the packets of a batch, if it has any; ``comments`` by row number."""
        self.know(batch.interfaces)
        if batch.packets is None or not len(batch.records):
            return
        ids = self._interface_ids(batch.records, batch.packets)
        self._stream.write(_packet_blocks(batch.records, batch.packets, ids, comments or {}))

    def journal(self, time_ns: int, line: str) -> None:
        """Append a line for readers to show between the packets."""
        text = _clean(line).replace(b"\n", b" ").decode("utf-8", "ignore")
        said = {
            "__REALTIME_TIMESTAMP": str(max(time_ns, 0) // 1000),
            "SYSLOG_IDENTIFIER": "viptrace",
            "PRIORITY": "4",
            "MESSAGE": text,
        }
        body = "".join(f"{key}={value}\n" for key, value in said.items())
        self._block(blocks.JOURNAL, body.encode())

    def local(self, body: bytes) -> None:
        """Append a block of a recording, which other readers skip."""
        self._block(blocks.LOCAL, body)

    def _interface_ids(self, records: Records, packets: PacketBytes) -> npt.NDArray[np.uint32]:
        point = records["netns"].astype(np.int64) << 32 | records["ifindex"]
        _, number = np.unique(point, return_inverse=True)
        key = number.astype(np.int64) << 16 | packets.link_types
        _, rows, inverse = np.unique(key, return_index=True, return_inverse=True)
        ids = [self._known(records[row], int(packets.link_types[row])) for row in rows.tolist()]
        return np.array(ids, dtype=np.uint32)[inverse]

    def _known(self, record: np.void, link_type: int) -> int:
        ifindex = int(record["ifindex"])
        return self.interface(
            ifindex, int(record["netns"]), link_type, self._names.get(ifindex, "")
        )

    def _block(self, kind: int, body: bytes) -> None:
        body += bytes(-len(body) % 4)
        length = pack("<I", len(body) + 12)
        self._stream.write(pack("<I", kind) + length + body + length)


def _packet_blocks(
    records: Records,
    packets: PacketBytes,
    ids: npt.NDArray[np.uint32],
    comments: Mapping[int, str],
) -> memoryview:
    captured = np.diff(packets.starts)
    outgoing = (records["flags"] & Flag.OUTGOING) != 0
    options, option_bytes = _packet_options(outgoing, comments)
    padded = captured + 3 & ~3
    lengths = _HEAD.itemsize + padded + option_bytes + 4
    at = starts_of(lengths)
    data = np.zeros(int(at[-1]), dtype=np.uint8)
    head = np.zeros(captured.size, dtype=_HEAD)
    times = records["time_ns"].astype(np.uint64)
    head["kind"], head["length"], head["id"] = blocks.ENHANCED, lengths, ids
    head["high"], head["low"] = times >> np.uint64(32), times & np.uint64(0xFFFFFFFF)
    head["captured"], head["wire"] = captured, packets.wire_lengths
    windows(data, _HEAD.itemsize)[at[:-1]] = head.view(f"V{_HEAD.itemsize}")
    body = at[:-1] + _HEAD.itemsize
    copy_ranges(packets.data, packets.starts[:-1], captured, data, body)
    _place(options, data, body + padded, outgoing)
    windows(data, 4)[at[1:] - 4] = head["length"].copy().view("V4")
    return data.data


def _packet_options(
    outgoing: Mask, comments: Mapping[int, str]
) -> tuple[dict[int, bytes], Offsets]:
    """Options of the commented rows, and the option bytes of every row."""
    sizes = np.where(outgoing, _DIRECTION.size, 0).astype(np.int64)
    made: dict[int, bytes] = {}
    for row, comment in comments.items():
        direction = [(2, pack("<I", 2))] if outgoing[row] else []
        made[row] = _options([*direction, (_COMMENT, _clean(comment))])
        sizes[row] = len(made[row])
    return made, sizes


def _place(options: Mapping[int, bytes], data: Bytes, at: Offsets, outgoing: Mask) -> None:
    plain = outgoing.copy()
    for row, option in options.items():
        plain[row] = False
        data[at[row] : at[row] + len(option)] = np.frombuffer(option, dtype=np.uint8)
    windows(data, _DIRECTION.size)[at[plain]] = _DIRECTION.view(f"V{_DIRECTION.size}")


def _option(code: int, value: bytes) -> bytes:
    return pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(_option(code, value) for code, value in options) + pack("<HH", 0, 0)


def _clean(text: str) -> bytes:
    """UTF-8 without NUL, which would end a name, cut to a length every reader takes."""
    return text.replace("\0", "").encode("utf-8", "replace")[:_MAX_TEXT_BYTES]
