"""Captures with known truth: made-up traffic as packets, a file, or records.

``python -m bench.captures out.pcapng [connections]`` writes the capture, and what really
happened beside it as ``out.npy`` (dtype ``FLOW_TRUTH`` of ``bench.traffic``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.contents import put_contents, put_rows
from bench.traffic import (
    INTERFACES,
    SECOND,
    Flows,
    Messages,
    Recipe,
    Sightings,
    Traffic,
    traffic,
)
from tracer.capture_file.writer import CaptureWriter
from tracer.events import (
    EventBatch,
    Origin,
    PacketBytes,
    Protocol,
    Records,
    TcpFlag,
    stacked,
)
from tracer.packets import LinkType, decode
from tracer.packets.ragged import starts_of

_BATCH = 32_768
_TAIL_S = 30
"""The last flows go on for so long."""
_ETHERNET_BYTES = 14
_ETHERNET = np.dtype([("addresses", "u1", (12,)), ("type", ">u2")])
_IP4 = np.dtype(
    [
        ("version", "u1"),
        ("service", "u1"),
        ("length", ">u2"),
        ("id", ">u2"),
        ("fragment", ">u2"),
        ("ttl", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("src", "<u4"),
        ("dst", "<u4"),
    ]
)
_IP6 = np.dtype(
    [
        ("version", ">u4"),
        ("length", ">u2"),
        ("next", "u1"),
        ("ttl", "u1"),
        ("src", "<u8", (2,)),
        ("dst", "<u8", (2,)),
    ]
)
_TCP = np.dtype(
    [
        ("src_port", ">u2"),
        ("dst_port", ">u2"),
        ("seq", ">u4"),
        ("ack", ">u4"),
        ("offset", "u1"),
        ("flags", "u1"),
        ("window", ">u2"),
        ("checksum", ">u2"),
        ("urgent", ">u2"),
    ]
)
_UDP = np.dtype([("src_port", ">u2"), ("dst_port", ">u2"), ("length", ">u2"), ("checksum", ">u2")])
_ECHO = np.dtype(
    [("type", "u1"), ("code", "u1"), ("checksum", ">u2"), ("id", ">u2"), ("sequence", ">u2")]
)
_TIMES = np.dtype([("kind", ">u4"), ("value", ">u4"), ("echo", ">u4")])
_NOP_NOP_TIMES, _MSS_1460 = 0x0101080A, 0x020405B4


def batches(made: Traffic, size: int = _BATCH) -> Iterator[EventBatch]:
    """The packets in order of time, with their bytes, as a source hands them over."""
    names = dict(INTERFACES)
    for first in range(0, made.sightings.size, size):
        seen = made.sightings[first : first + size]
        packets = _packets(made.flows, made.messages, seen)
        times = seen["time_ns"].astype(np.int64)
        records, _ = decode(packets, times, seen["ifindex"].astype(np.uint32))
        yield EventBatch(records, Origin.PACKETS, int(times[-1]), interfaces=names, packets=packets)
        names = {}


def records_of(made: Traffic) -> Records:
    """All packets as records."""
    return stacked([batch.records for batch in batches(made)])


def write(path: Path, made: Traffic) -> None:
    """The capture as pcapng, and the truth beside it."""
    with path.open("wb") as stream:
        writer = CaptureWriter(stream)
        for batch in batches(made):
            writer.write(batch)
    np.save(path.with_suffix(".npy"), made.flows)


def write_long(path: Path, recipe: Recipe, parts: int) -> None:
    """Such traffic several times in a row, each time other: more than memory need hold."""
    with path.open("wb") as stream:
        writer = CaptureWriter(stream)
        for part in range(parts):
            made = traffic(replace(recipe, seed=recipe.seed + part))
            made.sightings["time_ns"] += part * int((recipe.seconds + _TAIL_S) * SECOND)
            for batch in batches(made):
                writer.write(batch)


def _packets(flows: Flows, messages: Messages, seen: Sightings) -> PacketBytes:
    """Bytes of sightings, header by header."""
    flow, message = flows[seen["flow"]], messages[seen["message"]]
    legs = flow["legs"][np.arange(seen.size), seen["leg"]]
    ends = {name: _turned(legs, name, message["answer"]) for name in ("src", "dst")}
    ports = {name: _turned(legs, f"{name}_port", message["answer"]) for name in ("src", "dst")}
    network = np.where(flow["family"] == 2, _IP4.itemsize, _IP6.itemsize)
    transport = _transport_bytes(flow, message)
    sizes = _ETHERNET_BYTES + network + transport + message["size"]
    starts = starts_of(sizes)
    data = np.zeros(int(starts[-1]), dtype=np.uint8)
    at = starts[:-1]
    ether = np.zeros(seen.size, dtype=_ETHERNET)
    ether["addresses"], ether["type"] = 2, np.where(flow["family"] == 2, 0x0800, 0x86DD)
    put_rows(data, at, ether)
    at = at + _ETHERNET_BYTES
    _put_networks(data, at, flow, message, seen, ends, sizes - _ETHERNET_BYTES)
    at = at + network
    _put_transports(data, at, flow, message, ports, transport)
    put_contents(data, at + transport, flow, message)
    return PacketBytes(
        data, starts, sizes.astype(np.uint32), np.full(seen.size, LinkType.ETHERNET, np.uint16)
    )


def _turned(
    legs: npt.NDArray[np.void], name: str, answers: npt.NDArray[np.bool_]
) -> npt.NDArray[np.void]:
    other = name.replace("src", "-").replace("dst", "src").replace("-", "dst")
    chosen = answers if legs[name].ndim == 1 else answers[:, None]
    return np.where(chosen, legs[other], legs[name])


def _transport_bytes(flow: Flows, message: Messages) -> npt.NDArray[np.int64]:
    asks = message["flags"] & TcpFlag.SYN != 0
    tcp = _TCP.itemsize + np.where(flow["timestamps"], _TIMES.itemsize, 0) + 4 * asks
    udp = flow["protocol"] == Protocol.UDP
    other = np.where(udp, _UDP.itemsize, _ECHO.itemsize)
    return np.where(flow["protocol"] == Protocol.TCP, tcp, other).astype(np.int64)


def _put_networks(
    data: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    flow: Flows,
    message: Messages,
    seen: Sightings,
    ends: dict[str, npt.NDArray[np.void]],
    sizes: npt.NDArray[np.int64],
) -> None:
    four = np.flatnonzero(flow["family"] == 2)
    head = np.zeros(four.size, dtype=_IP4)
    head["version"], head["length"], head["id"] = 0x45, sizes[four], message["ip_id"][four]
    head["fragment"], head["ttl"] = 0x4000, seen["ttl"][four]
    head["protocol"] = flow["protocol"][four]
    for name in ("src", "dst"):
        head[name] = ends[name][four, 1] >> np.uint64(32)
    total = head.view(">u2").reshape(-1, 10).sum(axis=1, dtype=np.uint32)
    total = (total & 0xFFFF) + (total >> 16)
    head["checksum"] = ~(total + (total >> 16)) & 0xFFFF
    put_rows(data, at[four], head)
    six = np.flatnonzero(flow["family"] != 2)
    head = np.zeros(six.size, dtype=_IP6)
    head["version"], head["length"] = 6 << 28, sizes[six] - _IP6.itemsize
    head["next"], head["ttl"] = flow["protocol"][six], seen["ttl"][six]
    for name in ("src", "dst"):
        head[name] = ends[name][six]
    put_rows(data, at[six], head)


def _put_transports(
    data: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    flow: Flows,
    message: Messages,
    ports: dict[str, npt.NDArray[np.void]],
    sizes: npt.NDArray[np.int64],
) -> None:
    tcp = np.flatnonzero(flow["protocol"] == Protocol.TCP)
    head = np.zeros(tcp.size, dtype=_TCP)
    for name in ("seq", "ack", "flags"):
        head[name] = message[name][tcp]
    head["src_port"], head["dst_port"] = ports["src"][tcp], ports["dst"][tcp]
    head["offset"], head["window"] = sizes[tcp] // 4 << 4, 64_240
    put_rows(data, at[tcp], head)
    _put_options(data, at[tcp] + _TCP.itemsize, flow[tcp], message[tcp])
    udp = np.flatnonzero(flow["protocol"] == Protocol.UDP)
    head = np.zeros(udp.size, dtype=_UDP)
    head["src_port"], head["dst_port"] = ports["src"][udp], ports["dst"][udp]
    head["length"] = message["size"][udp] + _UDP.itemsize
    put_rows(data, at[udp], head)
    echo = np.flatnonzero(np.isin(flow["protocol"], (Protocol.ICMP, Protocol.ICMPV6)))
    head = np.zeros(echo.size, dtype=_ECHO)
    asks, answers = np.where(flow["family"][echo, None] == 2, (8, 0), (128, 129)).T
    head["type"] = np.where(message["answer"][echo], answers, asks)
    head["id"], head["sequence"] = ports["src"][echo], 1
    put_rows(data, at[echo], head)


def _put_options(
    data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], flow: Flows, message: Messages
) -> None:
    """Segment size of a SYN, and timestamps."""
    asks = message["flags"] & TcpFlag.SYN != 0
    size = np.full(int(asks.sum()), _MSS_1460, dtype=[("kind", ">u4")])
    put_rows(data, at[asks], size)
    timed = flow["timestamps"]
    times = np.zeros(int(timed.sum()), dtype=_TIMES)
    times["kind"] = _NOP_NOP_TIMES
    times["value"] = message["content"][timed] & np.uint64(0xFFFFFFFF)
    put_rows(data, (at + 4 * asks)[timed], times)


def main(path: Path, connections: int) -> None:
    """Write a capture and say what is in it."""
    made = traffic(replace(Recipe(), connections=connections))
    write(path, made)
    print(f"{made.sightings.size:,} packets of {made.flows.size:,} flows in {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else Recipe.connections)
