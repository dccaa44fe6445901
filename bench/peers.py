"""Other tracers, those that this machine has: started in a namespace, waited for, stopped.

Each is given the traffic of one client, as viptrace's own variants are, and writes what it sees to
a file. Where they come from: docs/comparison.md.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

START_S = 600.0
"""Emulated, hundreds of probes take minutes to attach."""
STOP_S = 120.0


class Peer(NamedTuple):
    """A program, how it is called for the traffic of a host, and how it says that it is ready."""

    name: str
    arguments: tuple[str, ...]
    ready: str


PEERS = (
    Peer("tcpdump", ("-i", "any", "-n", "host", "{client}"), "listening on"),
    Peer("ptcpdump", ("-i", "any", "-n", "host", "{client}"), "capturing"),
    Peer("pwru", ("--filter-track-skb", "host {client}"), "Listening for events"),
    Peer("retis", ("collect", "-c", "skb,skb-drop,ct,nft", "-f", "host {client}"), "started"),
)


def found() -> tuple[Peer, ...]:
    """Those on the search path."""
    return tuple(peer for peer in PEERS if shutil.which(peer.name))


class Running(NamedTuple):
    """A peer at work."""

    ready_s: float
    """From its start."""
    pid: int


@contextmanager
def running(peer: Peer, namespace: str, client: str, folder: Path) -> Iterator[Running]:
    """The peer at work; TimeoutError if it never is."""
    arguments = [argument.format(client=client) for argument in peer.arguments]
    said = folder / f"{peer.name}.err"
    # Of the namespace the network alone: ip netns exec brings a /sys without tracefs.
    command = ["nsenter", f"--net=/run/netns/{namespace}", peer.name, *arguments]
    with (folder / f"{peer.name}.out").open("wb") as output, said.open("wb") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        try:
            _wait(process, said, peer, started + START_S)
            yield Running(time.perf_counter() - started, process.pid)
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], said: Path, peer: Peer, deadline: float) -> None:
    while peer.ready not in (text := said.read_text(errors="replace")):
        if process.poll() is not None or time.perf_counter() > deadline:
            raise TimeoutError(f"{peer.name} did not get ready: {text.strip()[-300:]}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
