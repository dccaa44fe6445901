"""What tracing costs the kernel: new connections and established packets, with and without.

A client, a node that translates, and a backend in three namespaces; the node's viptrace is
started and stopped in turn, and every phase is timed in the same run. Where BPF statistics
are available the programs' own time and number of runs are told too: an established packet
must cause none. Run as root: ``python -m bench.overhead [--connections N] [--trips N]``; in
the lab's VM for kernel probes: ``python -m lab vm -- python -m bench.overhead``. Other tracers on
the search path are measured beside it.

Times by the clock are worth something on a quiet machine only; what the tracers' own processes
took of a processor is told beside them, and is worth something on any.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.peers import Peer, found, running
from lab.netns import Child, call
from lab.shell import run, run_in
from lab.tracing import Tracing

CLIENT_IP = "10.9.1.2"
CLIENT, NODE, BACKEND = (f"vto-{name}-{os.getpid()}" for name in ("c", "n", "b"))
START_S = 120.0
SETTLE_S = 1.0
"""A tracer has still to handle the last connections when they are made."""
VIRTUAL, SERVED = ("10.96.0.10", 80), ("10.9.2.2", 8080)
STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
CLUSTER = """
{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service",
 "metadata": {"namespace": "default", "name": "web"}, "spec": {"type": "ClusterIP",
 "clusterIP": "10.96.0.10", "ports": [{"port": 80, "targetPort": 8080}]}}]}
"""
IPVS = "-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r 10.9.2.2:8080 -m\n"
NAT = """
*nat
-A PREROUTING -d 10.96.0.10/32 -p tcp --dport 80 -j DNAT --to-destination 10.9.2.2:8080
-A POSTROUTING -d 10.9.2.2/32 -j MASQUERADE
COMMIT
"""


class Phase(NamedTuple):
    """One variant, once: seconds, and what the BPF programs did."""

    connections_s: float
    trips_s: float
    connection_runs: int
    connection_ns: int
    trip_runs: int
    trip_ns: int
    tracer_s: float
    """What the tracer's process took of a processor for the connections."""


class Variant(NamedTuple):
    """A way to run viptrace; ``options`` None is without it, or with another tracer."""

    name: str
    options: tuple[str, ...] | None
    peer: Peer | None = None


VARIANTS = (
    Variant("without any", None),
    Variant("live", ()),
    Variant("live --no-packets", ("--no-packets",)),
)


@contextmanager
def ground(engine: str) -> Iterator[None]:
    """Namespaces, addresses and the translation; gone afterwards."""
    try:
        for name in (CLIENT, NODE, BACKEND):
            run(["ip", "netns", "add", name])
            run_in(name, ["ip", "link", "set", "lo", "up"])
        for peer, net in ((CLIENT, "10.9.1"), (BACKEND, "10.9.2")):
            inside = f"eth-{net[-1]}"
            link = ["ip", "link", "add", inside, "netns", NODE]
            run([*link, "type", "veth", "peer", "name", "eth0", "netns", peer])
            for name, device, address in ((NODE, inside, 1), (peer, "eth0", 2)):
                run_in(name, ["ip", "addr", "add", f"{net}.{address}/24", "dev", device])
                run_in(name, ["ip", "link", "set", device, "up"])
            run_in(peer, ["ip", "route", "add", "default", "via", f"{net}.1"])
        run_in(NODE, ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        _translate(engine)
        yield
    finally:
        for name in (CLIENT, NODE, BACKEND):
            run(["ip", "netns", "del", name], check=False)


def _translate(engine: str) -> None:
    if engine == "iptables":
        run_in(NODE, ["iptables-restore"], NAT)
        return
    run(["modprobe", "-a", "ip_vs", "ip_vs_rr", "dummy"])
    run_in(NODE, ["sysctl", "-qw", "net.ipv4.vs.conntrack=1"])
    run_in(NODE, ["ip", "link", "add", "kube-ipvs0", "type", "dummy"])
    run_in(NODE, ["ip", "addr", "add", "10.96.0.10/32", "dev", "kube-ipvs0"])
    run_in(NODE, ["ipvsadm", "-R"], IPVS)
    run_in(NODE, ["iptables-restore"], NAT.replace(NAT.splitlines()[2] + "\n", ""))


def serve() -> None:
    """Echo, one connection after the other, until killed."""
    with socket.create_server(SERVED, backlog=1024) as server:
        while True:
            peer, _ = server.accept()
            with peer:
                while data := peer.recv(64):
                    peer.sendall(data)


def served() -> None:
    """Wait until somebody answers: a busy machine starts the server late."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(SERVED, 20).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def connect(count: int, rate: float = 0.0) -> float:
    """Seconds for this many connections, each with one exchange; at most ``rate`` a second."""
    started = time.perf_counter()
    for number in range(1, count + 1):
        with socket.create_connection(VIRTUAL, 20) as peer:
            peer.sendall(b"x")
            peer.recv(64)
        if rate:
            time.sleep(max(0.0, started + number / rate - time.perf_counter()))
    return time.perf_counter() - started


def exchange(count: int) -> float:
    """Seconds for this many round trips on one established connection."""
    with socket.create_connection(VIRTUAL, 20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        for _ in range(count):
            peer.sendall(b"x")
            peer.recv(64)
        return time.perf_counter() - started


def programs() -> tuple[int, int]:
    """Runs and nanoseconds of all tracing programs so far; zeros without bpftool."""
    if not shutil.which("bpftool") or not STATISTICS.exists():
        return 0, 0
    listed = json.loads(run(["bpftool", "-j", "prog", "show"]))
    ours = [p for p in listed if p.get("type") in ("kprobe", "raw_tracepoint", "tracepoint")]
    return sum(p.get("run_cnt", 0) for p in ours), sum(p.get("run_time_ns", 0) for p in ours)


def processor_s(pid: int) -> float:
    """Seconds that a process has taken of a processor so far, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def phase(options: argparse.Namespace, pid: int = 0) -> Phase:
    """Time both kinds of traffic once; ``pid``: the tracer, if there is one."""
    call(CLIENT, connect, 20)
    first = programs()
    before_s = processor_s(pid) if pid else 0.0
    connections_s = call(CLIENT, connect, options.connections, options.rate)
    second = programs()
    if pid:
        time.sleep(SETTLE_S)
    tracer_s = processor_s(pid) - before_s if pid else 0.0
    trips_s = call(CLIENT, exchange, options.trips)
    third = programs()
    return Phase(
        connections_s,
        trips_s,
        second[0] - first[0],
        second[1] - first[1],
        third[0] - second[0],
        third[1] - second[1],
        tracer_s,
    )


def measured(variant: Variant, options: argparse.Namespace, folder: Path) -> Phase:
    """One phase of a variant, viptrace running in the node's namespace if it wants that."""
    if variant.peer is not None:
        with running(variant.peer, NODE, CLIENT_IP, folder) as peer:
            print(f"  {variant.name}: ready after {peer.ready_s:.1f} s", flush=True)
            return phase(options, peer.pid)
    if variant.options is None:
        return phase(options)
    cluster = folder / "cluster.json"
    cluster.write_text(CLUSTER)
    tracing = Tracing(
        NODE, folder, ("--cluster", str(cluster)), "node", options.backend, options=variant.options
    )
    with tracing:
        found = phase(options, tracing.pid)
        tracing.stop()
    summary = list(tracing.lines())[-1]
    print(
        f"  {variant.name}: ready after {tracing.ready_s:.1f} s, backend {summary['backend']},"
        f" lost {summary['lost']}",
        flush=True,
    )
    return found


def tell(results: dict[str, list[Phase]], options: argparse.Namespace) -> None:
    """Medians, and each variant's ratio to the first."""
    base = results[VARIANTS[0].name]
    plain = [statistics.median(getattr(p, f) for p in base) for f in ("connections_s", "trips_s")]
    for name, phases in results.items():
        if not phases:
            continue
        connection = statistics.median(p.connections_s for p in phases)
        own = statistics.median(p.tracer_s for p in phases) / options.connections
        trip = statistics.median(p.trips_s for p in phases)
        print(
            f"{name:<20} {connection / options.connections * 1e6:9.1f} us/connection"
            f" ({connection / plain[0]:5.3f}) {trip / options.trips * 1e6:9.1f} us/round trip"
            f" ({trip / plain[1]:5.3f})"
            f" {own * 1e6:9.1f} us of a processor/connection"
        )
        if any(p.connection_runs for p in phases):
            runs = statistics.median(p.connection_runs for p in phases) / options.connections
            nanoseconds = statistics.median(p.connection_ns for p in phases) / options.connections
            trip_runs = statistics.median(p.trip_runs for p in phases)
            trip_ns = statistics.median(p.trip_ns for p in phases)
            print(
                f"{'':<20} programs: {runs:.1f} runs, {nanoseconds / 1000:.1f} us a connection;"
                f" {trip_runs:.0f} runs, {trip_ns / 1000:.1f} us in {options.trips} round trips"
                " (its own opening and close)"
            )


def main() -> int:
    """Alternate the variants for some rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--trips", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=0.0, help="connections a second; 0: any")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=("iptables", "ipvs"), default="iptables")
    parser.add_argument("--backend", choices=("auto", "bpf", "conntrack"), default="auto")
    parser.add_argument("--only", action="append", metavar="VARIANT", help="beside none")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: network namespaces need root")
        return 0
    if STATISTICS.exists():
        STATISTICS.write_text("1")
    every = (*VARIANTS, *(Variant(peer.name, None, peer) for peer in found()))
    wanted = {VARIANTS[0].name, *(options.only or (each.name for each in every))}
    variants = [variant for variant in every if variant.name in wanted]
    results: dict[str, list[Phase]] = {variant.name: [] for variant in variants}
    with ground(options.engine), tempfile.TemporaryDirectory() as folder:
        server = Child(BACKEND, serve)
        call(BACKEND, served)
        for _ in range(options.rounds):
            for variant in variants:
                try:
                    found_now = measured(variant, options, Path(folder))
                except TimeoutError as error:
                    print(f"  {error}", flush=True)
                    continue
                results[variant.name].append(found_now)
                each_us = found_now.connections_s / options.connections * 1e6
                print(f"  {variant.name}: {each_us:.1f} us/connection", flush=True)
        server.stop()
    tell(results, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
