"""``viptrace replay`` beside the tools that read captures, on one file in one run.

``python -m bench.replay [connections] [parts]``: the whole command, from its start to the last
line, with the wall clock, processor time and memory of each tool. Then the same on a
file in which few addresses talk, on one whose connections are half as many and twice as long, on
one twice as long, and on one with ``parts`` times as many packets. Compare ratios, not times; a
tool that is not installed is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.captures import write, write_long
from bench.traffic import INTERFACES, Recipe, traffic

Made = TypeVar("Made")

_CONNECTIONS, _PARTS = 50_000, 10
"""A million packets, and ten."""
_SHORT = replace(Recipe(), rounds=1, bridged=0.0)
"""One question and answer a connection, seen before and after its translation."""
_FEWER = 0.55
"""Connections of four questions, half of them also seen on a bridge: about as many packets."""
_ROUNDS = 3
_SUMMARY = "--summary"
"""Decode, flows, pairing, diagnosis and their totals; what the ratios are about."""
_PREFIX = {"scapy": 5_000, "dpkt": 100_000}
"""Packets that the slow ones read; their times are scaled to the whole file."""
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""Installed programs have been compiled; the first of several rounds does it here."""
_FIELDS = ("frame.time_epoch", "ip.src", "ip.dst", "tcp.srcport", "tcp.dstport", "tcp.flags")
_SCAPY = """
import sys
from itertools import islice
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.utils import PcapNgReader
flows = {}
for packet in islice(PcapNgReader(sys.argv[1]), int(sys.argv[2])):
    head = packet.getlayer(IP) or packet.getlayer(IPv6)
    if head is not None and TCP in packet:
        key = head.src, head.dst, packet[TCP].sport, packet[TCP].dport
        flows[key] = flows.get(key, 0) + 1
"""
_DPKT = """
import sys
from itertools import islice
import dpkt
flows = {}
with open(sys.argv[1], "rb") as file:
    for _, data in islice(dpkt.pcapng.Reader(file), int(sys.argv[2])):
        head = dpkt.ethernet.Ethernet(data).data
        if isinstance(head, (dpkt.ip.IP, dpkt.ip6.IP6)) and isinstance(head.data, dpkt.tcp.TCP):
            key = head.src, head.dst, head.data.sport, head.data.dport
            flows[key] = flows.get(key, 0) + 1
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    wall_s: float
    processor_s: float
    peak_mb: float

    def scaled(self, factor: float) -> Cost:
        """The same for so many times the packets."""
        return Cost(self.wall_s * factor, self.processor_s * factor, self.peak_mb)


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool beside viptrace, and how many times its time is asked for."""

    name: str
    command: tuple[str, ...]
    asked: str = ""
    packets: int = 0
    """Read so many only and scale; 0 is all."""


def peers(path: Path) -> list[Peer]:
    """Those that are installed, as they read this file."""
    fields = tuple(word for name in _FIELDS for word in ("-e", name))
    file, python = str(path), sys.executable
    every = (
        Peer("tcpdump -r F -w /dev/null", ("tcpdump", "-r", file, "-w", os.devnull), "1/5"),
        Peer("tcpdump -nr F", ("tcpdump", "-nr", file), "25"),
        Peer("tshark -q -z conv,tcp", ("tshark", "-n", "-q", "-z", "conv,tcp", "-r", file), "12"),
        Peer("tshark -T fields", ("tshark", "-n", "-r", file, "-T", "fields", *fields), "60"),
        *(
            Peer(name, (python, "-c", program, file, str(_PREFIX[name])), "", _PREFIX[name])
            for name, program in (("dpkt", _DPKT), ("scapy", _SCAPY))
        ),
    )
    return [peer for peer in every if shutil.which(peer.command[0])]


def replay(path: Path, *options: str) -> tuple[str, ...]:
    """The whole command: with a line for every translation unless ``--summary`` is given."""
    return (sys.executable, "-m", "tracer", "replay", "--json", *options, "--no-cluster", str(path))


def cost(command: Sequence[str], rounds: int = 1) -> Cost:
    """The shortest of some runs; the output goes nowhere."""
    return min((_run(command) for _ in range(rounds)), key=lambda each: each.wall_s)


def _run(command: Sequence[str]) -> Cost:
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed with {process.returncode}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def together_mb(command: Sequence[str]) -> float:
    """The most memory that a command and its children hold at a time, shared pages counted once."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
    )
    most = 0
    while process.poll() is None:
        most = max(most, sum(map(_held_kb, (process.pid, *_children(process.pid)))))
        time.sleep(0.02)
    return most / 1024


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _held_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def made_apart(make: Callable[..., Made], *arguments: object) -> Made:
    """Made by another process: a child's peak counts what this one held when it forked."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(make, *arguments).result()


def make(path: Path, recipe: Recipe) -> tuple[int, str]:
    """Write a capture; its packets, and in words what it holds."""
    made = traffic(recipe)
    write(path, made)
    clients = np.unique(made.flows["legs"][:, 0]["src"], axis=0).shape[0]
    return made.sightings.size, (
        f"{made.sightings.size:,} packets of {made.flows.size:,} flows of {clients:,} client"
        f" addresses on {len(INTERFACES)} interfaces, {path.stat().st_size / 1e6:,.0f} MB"
    )


def compared(path: Path, packets: int) -> None:
    """Print viptrace and its peers on one file."""
    lines = replace(cost(replay(path), _ROUNDS), peak_mb=together_mb(replay(path)))
    _line("viptrace replay --json", lines, packets)
    own = cost(replay(path, _SUMMARY), _ROUNDS)
    own = replace(own, peak_mb=together_mb(replay(path, _SUMMARY)))
    _line("the same with --summary", own, packets)
    for peer in peers(path):
        read = min(peer.packets or packets, packets)
        rounds = _ROUNDS if peer.asked == "1/5" else 1
        theirs = cost(peer.command, rounds).scaled(packets / read)
        note = f"; first {read:,} packets, scaled" if peer.packets else ""
        wall, processor = theirs.wall_s / own.wall_s, theirs.processor_s / own.processor_s
        wanted = f", asked {peer.asked}" if peer.asked else ""
        ratio = f"  {wall:7.2f} times viptrace{wanted} (processor {processor:.2f})"
        _line(peer.name, theirs, packets, f"{ratio}{note}")


def _line(name: str, each: Cost, packets: int, note: str = "") -> None:
    print(
        f"  {name:26} {each.wall_s:8.2f} s  {each.processor_s:8.2f} s processor"
        f"  {each.peak_mb:6,.0f} MB  {packets / each.wall_s:11,.0f} packets/s{note}",
        flush=True,
    )


def grown(folder: Path, recipe: Recipe, parts: int, once: Cost) -> None:
    """Print how time and memory grow with the file; ``once`` is the cost of one part."""
    print(f"once: {once.wall_s:.2f} s", flush=True)
    for times in sorted({2, parts}):
        path = folder / "long.pcapng"
        made_apart(write_long, path, recipe, times)
        command = replay(path, _SUMMARY)
        each, held_mb = cost(command, _ROUNDS if times == 2 else 1), together_mb(command)
        print(
            f"{times} times the packets: {each.wall_s:.2f} s,"
            f" {each.wall_s / once.wall_s:.2f} times as long, {held_mb:,.0f} MB",
            flush=True,
        )
        path.unlink()


def main(connections: int, parts: int) -> None:
    """Print every figure."""
    short = replace(_SHORT, connections=connections)
    longer = replace(Recipe(), connections=round(connections * _FEWER), outside=0.9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, recipe in (
            ("longer connections of many clients", longer),
            ("clients in the cluster", short),
            ("many clients", replace(short, outside=0.9)),
        ):
            path = folder / "capture.pcapng"
            packets, contents = made_apart(make, path, recipe)
            print(f"{what}: {contents}", flush=True)
            compared(path, packets)
        grown(folder, replace(short, outside=0.9), parts, cost(replay(path, _SUMMARY), _ROUNDS))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [_CONNECTIONS, _PARTS][len(numbers) :]))
