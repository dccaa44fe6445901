"""One packet taken apart by scapy, and its bytes: the only dissection there is."""

from __future__ import annotations

import logging
from functools import lru_cache

from tracer.plain import harmless

_WIDTH = 16
_ETHERNET, _RAW, _IPV4, _IPV6, _SLL, _SLL2, _NULL = 1, 101, 228, 229, 113, 276, 0


@lru_cache(maxsize=16)
def dissected(data: bytes, link_type: int) -> tuple[str, ...]:
    """Harmless lines: each layer with its fields as scapy names them."""
    # scapy takes most of a second to import, and only who opens a packet needs it.
    logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
    from scapy.layers import inet, inet6, l2, sctp  # noqa: F401  they teach each other

    raw = inet6.IPv6 if data[:1] and data[0] >> 4 == 6 else inet.IP
    layers = {
        _ETHERNET: l2.Ether,
        _RAW: raw,
        _IPV4: inet.IP,
        _IPV6: inet6.IPv6,
        _SLL: l2.CookedLinux,
        _SLL2: l2.CookedLinuxV2,
        _NULL: l2.Loopback,
    }
    layer = layers.get(link_type)
    if layer is None:
        return (f"(link type {link_type} is not dissected)",)
    try:
        text = str(layer(data).show(dump=True))
    except Exception as error:  # scapy raises anything on damaged packets
        return (harmless(f"(scapy could not dissect it: {error})"),)
    return tuple(harmless(line.rstrip()) for line in text.splitlines())


def hex_lines(data: bytes) -> list[str]:
    """Offset, 16 bytes in hex, and what of them is printable ASCII."""
    lines = []
    for at in range(0, len(data), _WIDTH):
        part = data[at : at + _WIDTH]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:04x}  {part.hex(' '):<{_WIDTH * 3 - 1}}  {shown}")
    return lines
