"""IPVS connections as text: ``ipvsadm -Lnc`` and ``/proc/net/ip_vs_conn``."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracer.address import MAPPED_PREFIX
from tracer.events import EVENT, EventRows, Flag, Hook, Protocol, no_records
from tracer.node.lines import Numbers, Packed, Unread, is_invalid, is_mapped, packed

PROTOCOLS = {
    b"TCP": Protocol.TCP,
    b"UDP": Protocol.UDP,
    b"SCTP": Protocol.SCTP,
    b"IP": 0,  # template of a firewall-mark service
    b"ICMP": Protocol.ICMP,
    b"AH": 51,
    b"ESP": 50,
}
_PROTOCOL = rb"^(?:(TCP|UDP|SCTP|IP|ICMP|AH|ESP) ++"
_ENDPOINT = rb" ++\[?+([^ \n\]]+)\]?:(\d{1,9}+)"
_LISTED = re.compile(
    _PROTOCOL + rb"[\d:]++ ++[^ \n]++" + _ENDPOINT * 3 + rb"(?:[ \r][^\n]*+)?+|([^\n]*+))$",
    re.MULTILINE,
)
_HEX_ENDPOINT = rb"([0-9A-F]{8}|[0-9a-f:]{39}) ([0-9A-F]{4}) "
_PROC = re.compile(
    _PROTOCOL + _HEX_ENDPOINT * 3 + rb"[^ \n]++ ++\d++[^\n]*+|([^\n]*+))$", re.MULTILINE
)
_JUNK = 7
_TALK = re.compile(rb"^(?:\s*|#.*|IPVS connection entries|pro expire state .*|Pro FromIP .*)$")
_SIDES = (("src", 1), ("dst", 3), ("nat_dst", 5))


def parse_connections(data: bytes, unread: Unread, at_ns: int = 0) -> EventRows:
    """Each connection as IPVS_NEW with FLAG_EXISTING: client -> VIP, and client -> backend.

    Templates of persistence (client port 0) are no connections and are left out.
    """
    hexadecimal = _is_proc(data)
    found = (_PROC if hexadecimal else _LISTED).findall(data)
    for number, entry in enumerate(found, start=1):
        if entry[_JUNK] and not _TALK.match(entry[_JUNK]):
            unread.add(number, "not an IPVS connection", entry[_JUNK])
    numbers = [number for number, entry in enumerate(found) if entry[0]]
    if not numbers:
        return no_records()
    columns = list(zip(*(found[number] for number in numbers), strict=True))
    records, usable = _fill(columns, hexadecimal)
    for row in np.flatnonzero(~usable):
        place = numbers[row]
        unread.add(place + 1, "no such address or port", b" ".join(found[place][1:7]))
    records["time_ns"] = at_ns
    return records[usable & (records["src_port"] != 0)]


def _is_proc(data: bytes) -> bool:
    """Whether this is the kernel's own form, which has hexadecimal numbers."""
    if data.startswith(b"Pro FromIP"):
        return True
    matches = (pattern.search(data) for pattern in (_PROC, _LISTED))
    return next((match[1] is not None for match in matches if match), False)


def _fill(
    columns: Sequence[Sequence[bytes]], hexadecimal: bool
) -> tuple[EventRows, npt.NDArray[np.bool_]]:
    """Rows of the connections, and which of them have sound addresses and ports."""
    records = np.zeros(len(columns[0]), dtype=EVENT)
    addresses = Packed(packed_hex if hexadecimal else packed)
    numbers = Numbers(16 if hexadecimal else 10)
    usable = np.ones(len(records), dtype=np.bool_)
    for name, at in _SIDES:
        ports = numbers.column(columns[at + 1])
        records[name] = addresses.column(columns[at])
        records[f"{name}_port"] = ports & 0xFFFF
        usable &= ~is_invalid(records[name]) & (ports < 65536)
    records["nat_src"], records["nat_src_port"] = records["src"], records["src_port"]
    records["protocol"] = [PROTOCOLS[name] for name in columns[0]]
    records["family"] = np.where(is_mapped(records["src"]), 2, 10)
    records["hook"] = Hook.IPVS_NEW
    records["flags"] = Flag.AFTER | Flag.EXISTING | Flag.IPVS
    return records, usable


def packed_hex(text: str) -> bytes:
    """16 bytes of an address as ``/proc/net`` writes it: eight digits, or IPv6 in full."""
    return MAPPED_PREFIX + bytes.fromhex(text) if len(text) == 8 else packed(text)
