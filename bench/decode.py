"""Packets a second: column decode beside scapy dissection, on the same bytes in one run.

Run as ``python -m bench.decode [packets]``; compare the ratio, not the times.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from tracer.events import PacketBytes
from tracer.packets import decode

_SCAPY_PACKETS = 3_000
"""Enough for a steady figure: scapy needs some 200 microseconds for each."""


def frames() -> list[bytes]:
    """One of each common kind, IPv4 more often than IPv6 as in a cluster."""
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    four, six = IP(src="10.0.0.1", dst="10.96.0.10"), IPv6(src="fd00::1", dst="fd00:96::a")
    tcp = TCP(sport=40_000, dport=80, flags="PA", options=[("NOP", None), ("MSS", 1460)])
    udp = UDP(sport=40_000, dport=53)
    bodies = [four / tcp / bytes(400), four / udp / bytes(60), four / tcp, six / tcp / bytes(200)]
    return [bytes(ether / body) for body in bodies]


def batch(count: int) -> PacketBytes:
    """``count`` packets as a source would hand them over."""
    kinds = frames()
    chosen = [kinds[i % len(kinds)] for i in range(count)]
    sizes = np.array([len(frame) for frame in chosen])
    return PacketBytes(
        np.frombuffer(b"".join(chosen), dtype=np.uint8),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        sizes.astype(np.uint32),
        np.full(count, 1, dtype=np.uint16),
    )


def columns_rate(count: int, rounds: int = 5) -> float:
    """Packets a second decoded to records; the best of some rounds."""
    packets = batch(count)
    times, ifindexes = np.arange(count, dtype=np.int64), np.ones(count, dtype=np.uint32)
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        records, _ = decode(packets, times, ifindexes)
        best = min(best, time.perf_counter() - begin)
        assert len(records) == count
    return count / best


def scapy_rate(count: int = _SCAPY_PACKETS) -> float:
    """Packets a second dissected by scapy, addresses and ports read."""
    packets = batch(count)
    begin = time.perf_counter()
    for row in range(count):
        frame = Ether(packets.packet(row))
        network = frame[IP] if IP in frame else frame[IPv6]
        transport = network[TCP] if TCP in network else network[UDP]
        _ = network.src, network.dst, transport.sport, transport.dport
    return count / (time.perf_counter() - begin)


def main(count: int) -> None:
    """Print both rates and their ratio."""
    columns, scapy = columns_rate(count), scapy_rate()
    print(f"columns  {columns:12,.0f} packets/s")
    print(f"scapy    {scapy:12,.0f} packets/s")
    print(f"ratio    {columns / scapy:12,.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 262_144)
