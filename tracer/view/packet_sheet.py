"""The page of packets: those of the selected flow over both its legs, else all that are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tracer import address
from tracer.clock import rfc3339
from tracer.detail import Captured, Detail
from tracer.events import PROTOCOL_NAMES, EventRows, Flag, Protocol, TcpFlag, picked
from tracer.flow import Leg
from tracer.plain import harmless
from tracer.tunnels import around
from tracer.view.packet_store import PacketStore
from tracer.view.query import ViewQuery
from tracer.view.sheet import Heading, Sheet, Tone, window_of
from tracer.view.touching import Legs

HEADINGS = (
    Heading("Time"),
    Heading("Leg"),
    Heading("Source"),
    Heading("Destination"),
    Heading("Info"),
    Heading("Length", right=True),
    Heading("Interface"),
    Heading("Seq", right=True),
    Heading("Ack", right=True),
    Heading("Proto"),
    Heading("TTL", right=True),
)
FILTERED = 16_384
"""Packets that a filter is asked about: the newest, as many as there are events."""
_LEGS = {
    -1: "",
    int(Leg.CLIENT_OUT): "client → VIP",
    int(Leg.CLIENT_IN): "VIP → client",
    int(Leg.BACKEND_OUT): "node → backend",
    int(Leg.BACKEND_IN): "backend → node",
}

_ICMP_WORDS: Mapping[int, Mapping[int, str]] = {
    Protocol.ICMP: {
        0x0000: "echo reply",
        0x0300: "net unreachable",
        0x0301: "host unreachable",
        0x0302: "protocol unreachable",
        0x0303: "port unreachable",
        0x0304: "too big",
        0x0309: "net prohibited",
        0x030A: "host prohibited",
        0x030D: "prohibited",
        0x0500: "redirect",
        0x0501: "redirect",
        0x0800: "echo request",
        0x0B00: "time exceeded",
    },
    Protocol.ICMPV6: {
        0x0100: "no route",
        0x0101: "prohibited",
        0x0103: "host unreachable",
        0x0104: "port unreachable",
        0x0200: "too big",
        0x0300: "time exceeded",
        0x8000: "echo request",
        0x8100: "echo reply",
        0x8500: "router solicitation",
        0x8600: "router advertisement",
        0x8700: "neighbour solicitation",
        0x8800: "neighbour advertisement",
        0x8900: "redirect",
    },
}
"""By type and code, as one number."""


def packet_sheet(
    store: PacketStore,
    flow: npt.NDArray[np.void],
    interfaces: dict[int, str],
    query: ViewQuery,
    passes: Callable[[EventRows], npt.NDArray[np.bool_]] | None = None,
) -> tuple[Sheet, Detail | None]:
    """One flow's packets as they followed each other; of all packets, the newest on top.

    ``passes``: which packets are of flows that a filter lets through; one flow's own all are.
    """
    limit = store.newest if query.until < 0 else query.until
    if query.at_ns:
        limit = min(limit, store.newest_at(query.at_ns))
    if len(flow):
        sheet = _of_flow(store, flow, interfaces, query, limit)
    elif passes:
        sheet = _of_passing(store, interfaces, query, limit, passes)
    else:
        sheet = _of_all(store, interfaces, query, limit)
    return sheet, _detail(store, query.row, interfaces)


def _of_flow(
    store: PacketStore,
    flow: npt.NDArray[np.void],
    interfaces: dict[int, str],
    query: ViewQuery,
    limit: int,
) -> Sheet:
    found = store.of_flow(flow, limit)
    start, end = window_of(len(found.ids), query.start, query.height)
    shown = slice(start, end)
    began_ns = int(found.records["time_ns"][0]) if len(found.ids) else 0
    at = np.flatnonzero(found.ids == query.row) if query.row else found.ids[:0]
    return Sheet(
        HEADINGS,
        start,
        tuple(found.ids[shown].tolist()),
        _cells(found.records[shown], found.legs[shown], interfaces, began_ns),
        _tones(found.records[shown]),
        len(found.ids),
        int(at[0]) if at.size else -1,
        newest=limit,
    )


def _of_all(store: PacketStore, interfaces: dict[int, str], query: ViewQuery, limit: int) -> Sheet:
    oldest = store.oldest
    count = max(limit - oldest + 1, 0)
    start, end = window_of(count, query.start, query.height)
    records = store.records(limit - end + 1, end - start)[::-1]
    legs = np.full(len(records), -1, dtype=np.int8)
    known = query.row and oldest <= query.row <= limit
    return Sheet(
        HEADINGS,
        start,
        tuple(range(limit - start, limit - end, -1)),
        _cells(records, legs, interfaces, 0),
        _tones(records),
        count,
        limit - query.row if known else -1,
        newest=limit,
        fresh=max(limit - query.mark, 0) if query.mark else 0,
    )


def _of_passing(
    store: PacketStore,
    interfaces: dict[int, str],
    query: ViewQuery,
    limit: int,
    passes: Callable[[EventRows], npt.NDArray[np.bool_]],
) -> Sheet:
    first = max(store.oldest, limit - FILTERED + 1)
    records = store.records(first, max(limit - first + 1, 0))
    rows = np.flatnonzero(passes(records))[::-1]
    ids = rows + first
    start, end = window_of(len(rows), query.start, query.height)
    shown = picked(records, rows[start:end])
    at = np.flatnonzero(ids == query.row) if query.row else ids[:0]
    return Sheet(
        HEADINGS,
        start,
        tuple(ids[start:end].tolist()),
        _cells(shown, np.full(len(shown), -1, dtype=np.int8), interfaces, 0),
        _tones(shown),
        len(rows),
        int(at[0]) if at.size else -1,
        newest=limit,
        fresh=int(np.count_nonzero(ids > query.mark)) if query.mark else 0,
    )


def _cells(
    records: EventRows, legs: Legs, interfaces: dict[int, str], began_ns: int
) -> tuple[tuple[str, ...], ...]:
    return tuple(
        _row(record, int(leg), interfaces, began_ns)
        for record, leg in zip(records, legs, strict=True)
    )


def _row(record: np.void, leg: int, interfaces: dict[int, str], began_ns: int) -> tuple[str, ...]:
    tcp = record["protocol"] == Protocol.TCP
    time_ns, protocol = int(record["time_ns"]), int(record["protocol"])
    return (
        f"+{(time_ns - began_ns) / 1e9:.6f}" if began_ns else rfc3339(time_ns)[11:26],
        _LEGS[leg],
        _end(record, "src"),
        _end(record, "dst"),
        _kind(record),
        str(int(record["length"])),
        _interface(record, interfaces),
        str(int(record["seq"])) if tcp else "",
        str(int(record["ack"])) if tcp and record["tcp_flags"] & TcpFlag.ACK else "",
        PROTOCOL_NAMES.get(protocol, str(protocol)),
        str(int(record["ttl"])) if record["ttl"] else "",
    )


def _kind(record: np.void) -> str:
    """TCP's flags, what an ICMP message says, and of others which protocol it is."""
    protocol, detail = int(record["protocol"]), int(record["detail"])
    if protocol == Protocol.TCP:
        return flag_text(int(record["tcp_flags"]))
    name = PROTOCOL_NAMES.get(protocol, str(protocol))
    if protocol not in _ICMP_WORDS:
        return name
    words = _ICMP_WORDS[protocol].get(detail)
    return f"{name} {words}" if words else f"{name} type {detail >> 8} code {detail & 0xFF}"


def _end(record: np.void, side: str) -> str:
    return address.endpoint(record[side].tobytes(), int(record[f"{side}_port"]))


def _interface(record: np.void, interfaces: dict[int, str]) -> str:
    number = int(record["ifindex"])
    return harmless(interfaces.get(number, str(number)))


def flag_text(flags: int) -> str:
    """``SYN ACK``."""
    return " ".join(str(flag.name) for flag in TcpFlag if flags & flag)


def _tones(records: EventRows) -> tuple[int, ...]:
    tcp = records["protocol"] == Protocol.TCP
    flags = records["tcp_flags"]
    tones = np.full(len(records), int(Tone.PLAIN))
    tones[np.isin(records["protocol"], (Protocol.ICMP, Protocol.ICMPV6))] = Tone.WARN
    tones[tcp & (flags & TcpFlag.SYN != 0)] = Tone.GOOD
    tones[tcp & (flags & TcpFlag.FIN != 0)] = Tone.DIM
    tones[tcp & (flags & TcpFlag.RST != 0)] = Tone.BAD
    return tuple(tones.tolist())


def _about(record: np.void) -> tuple[tuple[str, str], ...]:
    """The packet that an ICMP error quotes."""
    if not record["flags"] & Flag.QUOTED:
        return ()
    protocol = PROTOCOL_NAMES.get(int(record["reason"]), str(int(record["reason"])))
    return (("About", f"{protocol} {_end(record, 'nat_src')} → {_end(record, 'nat_dst')}"),)


def _detail(store: PacketStore, packet_id: int, interfaces: dict[int, str]) -> Detail | None:
    found = store.packet(packet_id) if packet_id else None
    if found is None:
        return None
    record, data, wire_length, link_type = found
    facts = (
        ("Time", rfc3339(int(record["time_ns"][0]))),
        ("Interface", _interface(record[0], interfaces)),
        ("Captured", f"{len(data)} of {wire_length} bytes"),
        *_about(record[0]),
        *((("Inside", inside),) if (inside := around(record[0])) else ()),
    )
    title = f"{_end(record[0], 'src')} → {_end(record[0], 'dst')}"
    return Detail(packet_id, title, facts, captured=Captured(data, link_type))
