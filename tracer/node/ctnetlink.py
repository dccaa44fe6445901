"""Conntrack as netlink tells it: messages to event rows, and the request for one tuple.

Numbers are those of ``linux/netfilter/nfnetlink_conntrack.h``.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from tracer.address import is_ipv4
from tracer.events import EVENT, EventRows, Flag, Hook, Protocol
from tracer.node.attributes import (
    HEADER_WORDS,
    Messages,
    Positions,
    Words,
    addresses,
    be16,
    be32,
    be64,
    inside,
    u8,
    walk,
)
from tracer.node.mapping import changed

SUBSYSTEM = 1
MESSAGE_NEW = SUBSYSTEM << 8
MESSAGE_GET = SUBSYSTEM << 8 | 1
MESSAGE_DELETE = SUBSYSTEM << 8 | 2
GROUPS = (1, 2, 3)
"""NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY."""
_NLM_F_CREATE = 0x400
_NFGENMSG_WORDS = 1

_TUPLE_ORIG, _TUPLE_REPLY, _STATUS = 1, 2, 3
_COUNTERS_ORIG, _COUNTERS_REPLY, _ID, _TIMESTAMP = 9, 10, 12, 20
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_V4_SRC, _V4_DST, _V6_SRC, _V6_DST = 1, 2, 3, 4
_NUMBER, _SRC_PORT, _DST_PORT, _ICMP_ID, _ICMP_TYPE, _ICMP_CODE = 1, 2, 3, 4, 5, 6
_ICMPV6_ID, _ICMPV6_TYPE, _ICMPV6_CODE = 7, 8, 9

_STATUS_FLAGS = (
    (1 << 1, Flag.REPLIED),  # IPS_SEEN_REPLY
    (1 << 2, Flag.ASSURED),
    (1 << 4, Flag.SRC_NAT),
    (1 << 5, Flag.DST_NAT),
)


def decode(messages: Messages, time_ns: int, *, table: bool = False) -> tuple[EventRows, int]:
    """Rows of the conntrack messages, and how many of them could not be understood.

    The notification of a new entry is CT_NEW, of a change CT_UPDATE, of the end CT_END;
    with ``table`` every message is an existing entry. Packets of both directions are in
    ``seq`` and ``ack`` where accounting is on, the entry's id in ``cookie``. ``time_ns``
    is the time of reading; the kernel's own time is used where it stamps entries.

    IPVS rewrites the reply tuple without setting IPS_DST_NAT
    (``ip_vs_update_conntrack``), all other NAT sets it: that tells FLAG_IPVS.
    """
    chosen = messages.chosen((messages.types == MESSAGE_NEW) | (messages.types == MESSAGE_DELETE))
    words = chosen.words
    starts = chosen.starts + HEADER_WORDS + _NFGENMSG_WORDS
    top = walk(words, starts, chosen.ends, _TIMESTAMP)
    records = np.zeros(len(chosen), dtype=EVENT)
    records["family"] = words[chosen.starts + HEADER_WORDS] & np.uint32(0xFF)
    sound = _fill_tuples(records, words, top)
    records["hook"] = Hook.CT_NEW if table else _hooks(chosen)
    records["flags"] = _flags(records, be32(words, top[:, _STATUS]))
    if table:
        records["flags"] |= np.uint16(Flag.EXISTING)
    records["cookie"] = be32(words, top[:, _ID])
    records["seq"] = _packets(words, top[:, _COUNTERS_ORIG])
    records["ack"] = _packets(words, top[:, _COUNTERS_REPLY])
    records["time_ns"] = time_ns
    if not table:
        _stamp(records, words, top[:, _TIMESTAMP])
    return records[sound], int(np.count_nonzero(~sound))


def _fill_tuples(records: EventRows, words: Words, top: Positions) -> npt.NDArray[np.bool_]:
    """Both tuples; which rows have them."""
    count = len(records)
    both = np.concatenate((top[:, _TUPLE_ORIG], top[:, _TUPLE_REPLY]))
    parts = walk(words, *inside(words, both), _TUPLE_PROTO)
    ip = walk(words, *inside(words, parts[:, _TUPLE_IP]), _V6_DST)
    proto = walk(words, *inside(words, parts[:, _TUPLE_PROTO]), _ICMPV6_ID)
    sources = addresses(words, ip[:, _V4_SRC], ip[:, _V6_SRC])
    destinations = addresses(words, ip[:, _V4_DST], ip[:, _V6_DST])
    identifier = be16(words, np.maximum(proto[:, _ICMP_ID], proto[:, _ICMPV6_ID]))
    source_ports = be16(words, proto[:, _SRC_PORT]) | identifier
    destination_ports = be16(words, proto[:, _DST_PORT]) | identifier
    records["protocol"] = u8(words, proto[:count, _NUMBER])
    records["src"], records["dst"] = sources[:count], destinations[:count]
    records["nat_dst"], records["nat_src"] = sources[count:], destinations[count:]
    records["src_port"], records["dst_port"] = source_ports[:count], destination_ports[:count]
    records["nat_dst_port"] = source_ports[count:]
    records["nat_src_port"] = destination_ports[count:]
    has_ip = (ip[:, (_V4_SRC, _V6_SRC)] > 0).any(axis=1) & (proto[:, _NUMBER] > 0)
    return np.asarray(has_ip[:count] & has_ip[count:])


def _hooks(chosen: Messages) -> npt.NDArray[np.uint16]:
    told = np.where(chosen.flags & _NLM_F_CREATE, Hook.CT_NEW, Hook.CT_UPDATE)
    return np.where(chosen.types == MESSAGE_DELETE, Hook.CT_END, told).astype(np.uint16)


def _flags(records: EventRows, status: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    flags = np.full(len(records), Flag.AFTER, dtype=np.uint16)
    for bit, flag in _STATUS_FLAGS:
        flags |= np.where(status & np.uint32(bit), np.uint16(flag), np.uint16(0))
    ipvs = changed(records, "dst") & ((flags & np.uint16(Flag.DST_NAT)) == 0)
    return flags | np.where(ipvs, np.uint16(Flag.IPVS), np.uint16(0))


def _packets(words: Words, payloads: Positions) -> npt.NDArray[np.uint64] | int:
    """Packets of one direction, at most 32 bits of them."""
    if not payloads.any():
        return 0
    counters = walk(words, *inside(words, payloads), 1)
    return np.minimum(be64(words, counters[:, 1]), np.uint64(0xFFFFFFFF))


def _stamp(records: EventRows, words: Words, payloads: Positions) -> None:
    """Start and end as the kernel noted them, with ``nf_conntrack_timestamp``."""
    if not payloads.any():
        return
    stamps = walk(words, *inside(words, payloads), 2)
    for hook, column in ((Hook.CT_NEW, 1), (Hook.CT_END, 2)):
        noted = be64(words, stamps[:, column]).astype(np.int64)
        use = (noted > 0) & (records["hook"] == hook)
        records["time_ns"][use] = noted[use]


def request(row: np.void) -> bytes:
    """Body of the GET for the entry whose original tuple is that of an event row."""
    source, destination = row["src"].tobytes(), row["dst"].tobytes()
    v4 = is_ipv4(source)
    kinds = (_V4_SRC, _V4_DST) if v4 else (_V6_SRC, _V6_DST)
    skip = 12 if v4 else 0
    ip = attribute(kinds[0], source[skip:]) + attribute(kinds[1], destination[skip:])
    number = int(row["protocol"])
    ports = (int(row["src_port"]), int(row["dst_port"]))
    proto = attribute(_NUMBER, bytes([number])) + _proto_key(number, *ports)
    both = attribute(_TUPLE_IP, ip, nested=True) + attribute(_TUPLE_PROTO, proto, nested=True)
    return bytes([2 if v4 else 10, 0, 0, 0]) + attribute(_TUPLE_ORIG, both, nested=True)


def _proto_key(number: int, source_port: int, destination_port: int) -> bytes:
    if number == Protocol.ICMP:
        kinds, values = (_ICMP_ID, _ICMP_TYPE, _ICMP_CODE), (source_port, 8, 0)
    elif number == Protocol.ICMPV6:
        kinds, values = (_ICMPV6_ID, _ICMPV6_TYPE, _ICMPV6_CODE), (source_port, 128, 0)
    else:
        return attribute(_SRC_PORT, source_port.to_bytes(2)) + attribute(
            _DST_PORT, destination_port.to_bytes(2)
        )
    identifier, kind, code = values
    parts = (identifier.to_bytes(2), bytes([kind]), bytes([code]))
    return b"".join(attribute(k, part) for k, part in zip(kinds, parts, strict=True))


def attribute(kind: int, payload: bytes, *, nested: bool = False) -> bytes:
    """One netlink attribute with its padding."""
    head = struct.pack("=HH", len(payload) + 4, kind | (0x8000 if nested else 0))
    return head + payload + bytes(-len(payload) % 4)
