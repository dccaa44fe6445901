"""The page of packets: those of the selected flow over both its legs, else all that are kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tracer import address
from tracer.clock import rfc3339
from tracer.detail import Captured, Detail
from tracer.events import PROTOCOL_NAMES, Protocol, Records, TcpFlag, picked
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
    Heading("Flags"),
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


def packet_sheet(
    store: PacketStore,
    flow: npt.NDArray[np.void],
    interfaces: dict[int, str],
    query: ViewQuery,
    passes: Callable[[Records], npt.NDArray[np.bool_]] | None = None,
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
    passes: Callable[[Records], npt.NDArray[np.bool_]],
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
    records: Records, legs: Legs, interfaces: dict[int, str], began_ns: int
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
        flag_text(int(record["tcp_flags"])) if tcp else "",
        str(int(record["length"])),
        _interface(record, interfaces),
        str(int(record["seq"])) if tcp else "",
        str(int(record["ack"])) if tcp and record["tcp_flags"] & TcpFlag.ACK else "",
        PROTOCOL_NAMES.get(protocol, str(protocol)),
        str(int(record["ttl"])) if record["ttl"] else "",
    )


def _end(record: np.void, side: str) -> str:
    return address.endpoint(record[side].tobytes(), int(record[f"{side}_port"]))


def _interface(record: np.void, interfaces: dict[int, str]) -> str:
    number = int(record["ifindex"])
    return harmless(interfaces.get(number, str(number)))


def flag_text(flags: int) -> str:
    """``SYN ACK``."""
    return " ".join(str(flag.name) for flag in TcpFlag if flags & flag)


def _tones(records: Records) -> tuple[int, ...]:
    tcp = records["protocol"] == Protocol.TCP
    flags = records["tcp_flags"]
    tones = np.full(len(records), int(Tone.PLAIN))
    tones[np.isin(records["protocol"], (Protocol.ICMP, Protocol.ICMPV6))] = Tone.WARN
    tones[tcp & (flags & TcpFlag.SYN != 0)] = Tone.GOOD
    tones[tcp & (flags & TcpFlag.FIN != 0)] = Tone.DIM
    tones[tcp & (flags & TcpFlag.RST != 0)] = Tone.BAD
    return tuple(tones.tolist())


def _detail(store: PacketStore, packet_id: int, interfaces: dict[int, str]) -> Detail | None:
    found = store.packet(packet_id) if packet_id else None
    if found is None:
        return None
    record, data, wire_length, link_type = found
    facts = (
        ("Time", rfc3339(int(record["time_ns"][0]))),
        ("Interface", _interface(record[0], interfaces)),
        ("Captured", f"{len(data)} of {wire_length} bytes"),
        *((("Inside", inside),) if (inside := around(record[0])) else ()),
    )
    title = f"{_end(record[0], 'src')} → {_end(record[0], 'dst')}"
    return Detail(packet_id, title, facts, captured=Captured(data, link_type))
