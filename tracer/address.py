"""Addresses as columns: two little-endian 64-bit words holding 16 network-order bytes.

IPv4 is stored mapped (``::ffff:a.b.c.d``), so one column serves both families.
Text is made only at the edges.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

AddressColumn = npt.NDArray[np.uint64]
"""Shape (n, 2), dtype ``<u8``: the 16 bytes of each address as they stand in memory."""

_MAPPED, _LOW_HALF = np.uint64(0xFFFF0000), np.uint64(0xFFFFFFFF)
"""The prefix's last four bytes as the low half of a ``<u8``."""
MAPPED_PREFIX = bytes(10) + b"\xff\xff"
UNSPECIFIED = bytes(16)


def parse(text: str) -> bytes:
    """16 bytes of an address in text form; ValueError if it is not one (scope ids are cut off)."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return address.packed if address.version == 6 else MAPPED_PREFIX + address.packed


@lru_cache(maxsize=65536)
def text(packed: bytes) -> str:
    """Shortest text form of 16 bytes; mapped IPv4 as dotted quad."""
    if packed[:12] == MAPPED_PREFIX:
        return ".".join(map(str, packed[12:]))
    return str(ipaddress.IPv6Address(packed))


def is_ipv4(packed: bytes) -> bool:
    """Whether 16 bytes hold a mapped IPv4 address."""
    return packed[:12] == MAPPED_PREFIX


def column(addresses: Iterable[bytes]) -> AddressColumn:
    """Shape (n, 2) column of 16-byte addresses."""
    return np.frombuffer(b"".join(addresses), dtype="<u8").reshape(-1, 2)


def packed_at(addresses: AddressColumn, row: int) -> bytes:
    """The 16 bytes of one row of a column."""
    return addresses[row].tobytes()


def texts(addresses: AddressColumn) -> list[str]:
    """Text of every row; for visible rows and distinct flows, not for packets."""
    raw = np.ascontiguousarray(addresses)
    four = (raw[:, 0] == 0) & (raw[:, 1] & _LOW_HALF == _MAPPED)
    if four.all():
        return _dotted(raw[:, 1])
    found = np.empty(len(raw), dtype=object)
    found[four] = _dotted(raw[four, 1])
    rest = raw[~four].tobytes()
    others = [rest[start : start + 16] for start in range(0, len(rest), 16)]
    made = {packed: text(packed) for packed in set(others)}
    found[~four] = list(map(made.__getitem__, others))
    every: list[str] = found.tolist()
    return every


def _dotted(halves: npt.NDArray[np.uint64]) -> list[str]:
    """Text of IPv4 addresses, given their second eight bytes; each distinct one is made once."""
    words = (halves >> np.uint64(32)).tolist()
    made = {
        word: f"{word & 255}.{word >> 8 & 255}.{word >> 16 & 255}.{word >> 24}"
        for word in set(words)
    }
    return list(map(made.__getitem__, words))


def endpoint(packed: bytes, port: int) -> str:
    """``1.2.3.4:80`` or ``[fd00::1]:80``."""
    host = text(packed)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def routable(packed: bytes) -> bool:
    """Whether an address means the same machine to everybody: not loopback, not link-local."""
    ip = ipaddress.IPv6Address(packed)
    known = ip.ipv4_mapped or ip
    return not (known.is_loopback or known.is_link_local)


def as_prefix(written: str) -> tuple[bytes, int] | None:
    """(16 bytes, bits of 128) of an address range; None if it is none."""
    try:
        network = ipaddress.ip_network(written, strict=False)
    except ValueError:
        return None
    offset = 96 if network.version == 4 else 0
    return parse(str(network.network_address)), network.prefixlen + offset


def cut(packed: bytes, bits: int) -> tuple[bytes, int]:
    """The range of so many bits that an address lies in."""
    keep = (1 << 128) - (1 << (128 - bits))
    return (int.from_bytes(packed, "big") & keep).to_bytes(16, "big"), bits
