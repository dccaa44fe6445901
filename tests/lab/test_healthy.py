"""Healthy traffic against the lab's own server, on this machine's loopback."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket

import pytest

from lab import healthy
from lab.server import _delay_s, serve


def free_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def port():
    number = free_port()
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=serve, args=("pod", [number], [number], there), daemon=True
    )
    process.start()
    assert here.recv() == "pod"
    yield number
    process.kill()
    process.join()


KINDS = {
    "short": healthy.short,
    "half-closed": healthy.half_closed,
    "reset by client": healthy.client_resets,
    "reset by server": healthy.server_resets,
    "datagram": healthy.datagrams,
    "unanswered": healthy.unanswered_by_design,
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_goes_well(kind, port):
    assert asyncio.run(KINDS[kind]("127.0.0.1", port))


def test_a_crowd_has_every_kind_in_its_share(port, monkeypatch):
    quick = {"short": (healthy.short, 3), "reset by server": (healthy.server_resets, 1)}
    monkeypatch.setattr(healthy, "TCP", quick)
    monkeypatch.setattr(healthy, "UDP", {"datagram": (healthy.datagrams, 1)})
    outcome = healthy.drive(healthy.Crowd("127.0.0.1", port, port, 50, 5))
    assert outcome.made == {"short": 30, "reset by server": 10, "datagram": 10}
    assert outcome.failed == {}


def test_a_refused_connection_counts_as_failed():
    crowd = healthy.Crowd("127.0.0.1", free_port(), free_port(), 1, 1)
    assert sum(healthy.drive(crowd).failed.values()) == 1


@pytest.mark.parametrize(
    ("line", "seconds"), [(b"?\n", 0), (b"wait 4.5\n", 4.5), (b"wait x\n", 0), (b"wait \n", 0)]
)
def test_only_who_asks_to_wait_waits(line, seconds):
    assert _delay_s(line) == seconds
