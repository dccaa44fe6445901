"""Capture files built byte by byte, in either byte order."""

from __future__ import annotations

import io
from struct import pack

from tracer.capture_file import CaptureReader


def option(order: str, code: int, value: bytes) -> bytes:
    return pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = pack(f"{order}I", len(body) + 12)
    return pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str = "<", *, link: int = 101, snap: int = 0, options: bytes = b"") -> bytes:
    end = option(order, 0, b"") if options else b""
    return block(order, 1, pack(f"{order}HHI", link, 0, snap) + options + end)


def enhanced(ticks: int, data: bytes, order: str = "<", *, number: int = 0, options=b"") -> bytes:
    head = pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(order, 6, head + data + bytes(-len(data) % 4) + options)


def simple(data: bytes, order: str = "<", *, wire: int | None = None) -> bytes:
    return block(order, 3, pack(f"{order}I", wire or len(data)) + data)


def obsolete(ticks: int, data: bytes, order: str = "<", *, number: int = 0) -> bytes:
    head = pack(f"{order}HHIIII", number, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(order, 2, head + data)


def classic(
    order: str, magic: int, records: list[tuple[int, int, bytes]], link: int = 101
) -> bytes:
    head = pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    return head + b"".join(
        pack(f"{order}IIII", seconds, fraction, len(data), len(data)) + data
        for seconds, fraction, data in records
    )


def patched(order: str, records: list[tuple[int, int, bytes]]) -> bytes:
    """As ``classic``, with the eight bytes more of Kuznetzov's libpcap."""
    head = pack(f"{order}IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 101)
    return head + b"".join(
        pack(f"{order}IIIIIHBx", seconds, fraction, len(data), len(data), 7, 0x800, 4) + data
        for seconds, fraction, data in records
    )


def everything(raw: bytes, **options) -> tuple[list[tuple[int, bytes]], CaptureReader]:
    """(time, bytes) of every packet a reader finds, and the reader."""
    reader = CaptureReader(io.BytesIO(raw), "story.pcapng", **options)
    found = []
    while (chunk := reader.read()) is not None:
        packets = chunk.spans.packed()
        found += [(time, packets.packet(row)) for row, time in enumerate(chunk.times_ns.tolist())]
    return found, reader
