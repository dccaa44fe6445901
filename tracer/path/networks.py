"""Addresses as numbers, and whether they lie in a network written as text."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from tracer.address import MAPPED_PREFIX
from tracer.node.lines import packed

ALL_ONES = (1 << 128) - 1
IPV4_BITS = 96
"""Bits in front of a mapped IPv4 address."""
LOOPBACK_NETWORK = "127.0.0.0/8"


def number(ip: bytes) -> int:
    """16 packed bytes as one number."""
    return int.from_bytes(ip, "big")


@lru_cache(maxsize=65536)
def network(text: str) -> tuple[int, int]:
    """(value, mask) of ``10.0.0.0/8``, ``10.0.0.0/255.0.0.0`` or an address; ValueError if none."""
    host, slash, length = text.partition("/")
    ip = packed(host)
    if not slash:
        mask = ALL_ONES
    elif length.isdigit():
        bits = int(length) + (IPV4_BITS if ip.startswith(MAPPED_PREFIX) else 0)
        if not 0 <= bits <= 128:
            raise ValueError(text)
        mask = ALL_ONES ^ (ALL_ONES >> bits)
    else:
        mask = number(packed(length))
        if ip.startswith(MAPPED_PREFIX):
            mask |= ALL_ONES ^ 0xFFFFFFFF
    return number(ip) & mask, mask


def inside(ip: bytes, text: str) -> bool:
    """Whether an address lies in a network; one of the other family never does."""
    value, mask = network(text)
    return number(ip) & mask == value


def between(ip: bytes, first: str, last: str) -> bool:
    """Whether an address lies in a range."""
    return number(packed(first)) <= number(ip) <= number(packed(last))


def is_loopback(ip: bytes) -> bool:
    """127.0.0.0/8 or ::1."""
    if ip.startswith(MAPPED_PREFIX):
        return ip[12] == 127
    return ip == bytes(15) + b"\x01"


def is_multicast(ip: bytes) -> bool:
    """224.0.0.0/4 or ff00::/8."""
    return 224 <= ip[12] < 240 if ip.startswith(MAPPED_PREFIX) else ip[0] == 0xFF


def expanded(text: str, limit: int) -> list[bytes] | None:
    """Every address of ``a`` or ``a-b``; None if there are more than ``limit``."""
    first, _, last = text.partition("-")
    start = number(packed(first))
    end = number(packed(last)) if last else start
    if not 0 <= end - start < limit:
        return None
    return [value.to_bytes(16, "big") for value in range(start, end + 1)]


def canonical(text: str) -> str:
    """An address in the form that the tools print."""
    return str(ipaddress.ip_address(text))
