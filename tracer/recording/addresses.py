"""Addresses replaced so that their networks stay apart and together: prefix-preserving.

Two addresses that share their first n bits share n bits afterwards, as Crypto-PAn does it
(Xu, Fan, Ammar, Moon 2002), with a keyed BLAKE2b for the random function: without the key
nobody can tell which network was which.
"""

from __future__ import annotations

import ipaddress
from hashlib import blake2b

import numpy as np

from tracer import address
from tracer.address import AddressColumn

_LINK_LOCAL_BYTES = 8
"""Of fe80::/10 the prefix tells nothing; the rest may hold a hardware address."""
_MAX_KNOWN = 1 << 20


class AddressMap:
    """Consistent for one key. Loopback, multicast, unspecified and the like stay as they are."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[bytes, bytes] = {}

    def packed(self, ip: bytes) -> bytes:
        """What stands for 16 packed bytes, IPv4 mapped."""
        found = self._known.get(ip)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[ip] = self._replaced(ip)
        return found

    def column(self, ips: AddressColumn) -> AddressColumn:
        """The same for every row; each distinct address is replaced once."""
        if not len(ips):
            return ips
        rows = np.ascontiguousarray(ips).view("V16").reshape(-1)
        distinct, places = np.unique(rows, return_inverse=True)
        mapped = address.column([self.packed(ip.tobytes()) for ip in distinct])
        replaced: AddressColumn = mapped[places]
        return replaced

    def network(self, text: str) -> str:
        """What stands for an address or network in text form; what is neither is left out."""
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return ""
        first = address.text(self.packed(address.parse(str(network.network_address))))
        return str(ipaddress.ip_network(f"{first}/{network.prefixlen}", strict=False))

    def _replaced(self, ip: bytes) -> bytes:
        if address.is_ipv4(ip):
            short = ip[12:]
            return ip if _is_special4(short) else address.MAPPED_PREFIX + self._ordinary4(short)
        if ip[0] == 0xFE and ip[1] & 0xC0 == 0x80:
            return ip[:_LINK_LOCAL_BYTES] + self._permuted(ip, _LINK_LOCAL_BYTES)
        if _is_special6(ip):
            return ip
        mapped = self._permuted(ip)
        while _is_special6(mapped) or mapped[0] == 0xFE:
            mapped = self._permuted(mapped)
        return mapped

    def _ordinary4(self, ip: bytes) -> bytes:
        """Again and again until it is an ordinary address: still one to one."""
        mapped = self._permuted(ip)
        while _is_special4(mapped):
            mapped = self._permuted(mapped)
        return mapped

    def _permuted(self, ip: bytes, first: int = 0) -> bytes:
        return bytes(self._byte(ip[:at], ip[at], len(ip)) for at in range(first, len(ip)))

    def _byte(self, prefix: bytes, byte: int, size: int) -> int:
        """Each bit is flipped or not, by all bits before it and nothing else."""
        flips = blake2b(prefix, key=self._key, salt=bytes([size])).digest()
        node, result = 1, 0
        for shift in range(7, -1, -1):
            bit = byte >> shift & 1
            result = result << 1 | bit ^ flips[node >> 3] >> (node & 7) & 1
            node = node << 1 | bit
        return result


def _is_special4(ip: bytes) -> bool:
    """0/8, 127/8, 169.254/16, multicast and everything above it."""
    return ip[0] in (0, 127) or ip[0] >= 224 or ip[:2] == b"\xa9\xfe"


def _is_special6(ip: bytes) -> bool:
    """Unspecified, loopback, IPv4 in any wrapping without a prefix, and multicast."""
    return not any(ip[:8]) or ip[0] == 0xFF
