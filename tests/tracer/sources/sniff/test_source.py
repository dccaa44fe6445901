"""Live packets: in namespaces of our own, counted to the last one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from tracer import address
from tracer.errors import InputError, UnableError
from tracer.events import EventBatch, Flag, Origin, Protocol, TcpFlag
from tracer.packets import LinkType
from tracer.sources.sniff import SniffSource

NEAR, FAR = "vtpk-near", "vtpk-far"
MANY, FEW = 499, 97
root = pytest.mark.root


def test_an_unknown_interface_is_named_with_those_that_exist():
    with pytest.raises(InputError, match="vtpk-none") as raised:
        SniffSource(("vtpk-none",)).open()
    assert "lo" in raised.value.why


def test_without_the_privilege_it_says_which(monkeypatch):
    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("tracer.sources.sniff.source.L2ListenSocket", refused)
    with pytest.raises(UnableError, match="CAP_NET_RAW"):
        SniffSource().open()


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def inside(namespace: str):
    """This thread in another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert libc.setns(other, 0x40000000) == 0
        yield
    finally:
        assert libc.setns(home, 0x40000000) == 0
        os.close(home)
        os.close(other)


def _await_carrier() -> None:
    """Until the kernel's link watch has run, the noop queue drops what is sent, unseen by taps."""
    end = time.monotonic() + 5
    for name, device in ((NEAR, "vtpk0"), (FAR, "vtpk1")):
        while "state UP" not in ip("-n", name, "link", "show", device):
            assert time.monotonic() < end, f"{device} has no carrier"


@pytest.fixture
def pair():
    """Two namespaces joined by a veth, 10.98.0.1 and 10.98.0.2; we are in the first."""
    for name in (NEAR, FAR):
        if Path(f"/run/netns/{name}").exists():
            ip("netns", "del", name)
        ip("netns", "add", name)
    try:
        ip("-n", NEAR, "link", "add", "vtpk0", "type", "veth", "peer", "vtpk1", "netns", FAR)
        for name, device, host in ((NEAR, "vtpk0", 1), (FAR, "vtpk1", 2)):
            ip("-n", name, "addr", "add", f"10.98.0.{host}/24", "dev", device)
            ip("-n", name, "addr", "add", f"fd98::{host}/64", "dev", device, "nodad")
            for link in (device, "lo"):
                ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", device, "address", f"02:00:00:00:98:0{host}")
        for host in ("10.98.0.2", "fd98::2"):
            ip("-n", NEAR, "neigh", "add", host, "lladdr", "02:00:00:00:98:02", "dev", "vtpk0")
        _await_carrier()
        with inside(NEAR):
            yield
    finally:
        for name in (NEAR, FAR):
            ip("netns", "del", name)


def everything(source: SniffSource, wanted) -> list[EventBatch]:
    """Batches until ``wanted`` of all their records holds, or five seconds have gone."""
    batches: list[EventBatch] = []
    end = time.monotonic() + 5
    while time.monotonic() < end:
        batches.append(source.read(0.05))
        if wanted(joined(batches)):
            break
    return batches


def joined(batches):
    return np.concatenate([batch.records for batch in batches])


def udp_to(port, records):
    return records[(records["protocol"] == Protocol.UDP) & (records["dst_port"] == port)]


@contextlib.contextmanager
def opened(*arguments, **options):
    source = SniffSource(*arguments, **options)
    source.open()
    try:
        yield source
    finally:
        source.close()


@root
@pytest.mark.parametrize("interfaces", [(), ("vtpk0",), ("vtpk0", "lo")])
@pytest.mark.parametrize("host", ["10.98.0.2", "fd98::2"])
def test_every_packet_is_counted_once(pair, interfaces, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    before = time.time_ns()
    with opened(interfaces) as source, socket.socket(family, socket.SOCK_DGRAM) as sender:
        for number in range(MANY):
            sender.sendto(b"x" * number, (host, 7))
        batches = everything(source, lambda records: len(udp_to(7, records)) >= MANY)
        names = {k: v for batch in batches for k, v in batch.interfaces.items()}
        assert source.problems() == []
    records = udp_to(7, joined(batches))
    assert records["detail"].tolist() == list(range(MANY))
    assert {names[i] for i in records["ifindex"].tolist()} == {"vtpk0"}
    assert (records["flags"] == Flag.OUTGOING).all()
    assert set(records["netns"].tolist()) == {os.stat("/proc/thread-self/ns/net").st_ino}
    assert set(address.texts(records["dst"])) == {host}
    times = records["time_ns"]
    assert (np.diff(times) >= 0).all()
    assert before <= times[0] <= times[-1] <= time.time_ns()
    assert all(batch.origin == Origin.PACKETS and not batch.lost for batch in batches)
    until = [batch.until_ns for batch in batches]
    assert until == sorted(until)


@root
def test_connections_show_their_beginning_and_refusal(pair):
    with opened() as source:
        for _ in range(FEW):
            with socket.socket() as client, pytest.raises(ConnectionRefusedError):
                client.connect(("10.98.0.2", 9))
        batches = everything(source, lambda records: np.sum(records["src_port"] == 9) >= FEW)
    records = joined(batches)
    syn = records[(records["dst_port"] == 9) & (records["tcp_flags"] == TcpFlag.SYN)]
    reset = records[(records["src_port"] == 9) & (records["tcp_flags"] & TcpFlag.RST != 0)]
    assert (len(syn), len(reset)) == (FEW, FEW)
    assert (reset["flags"] & Flag.OUTGOING == 0).all()
    assert sorted(syn["seq"].astype(np.uint64) + 1) == sorted(reset["ack"].astype(np.uint64))


@root
def test_loopback_shows_each_packet_once(pair):
    with opened() as source, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(FEW):
            sender.sendto(b"x", ("127.0.0.1", 7))
        seen = joined(everything(source, lambda records: len(udp_to(7, records)) >= FEW))
    assert len(udp_to(7, seen)) == FEW
    assert (udp_to(7, seen)["flags"] & Flag.LOOPBACK != 0).all()


@root
def test_bytes_are_those_of_the_wire_up_to_the_snap(pair):
    with opened(("vtpk0",), snap=60) as source:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(bytes(range(200)), ("10.98.0.2", 7))
        batches = everything(source, lambda records: len(udp_to(7, records)))
    batch = next(batch for batch in batches if len(udp_to(7, batch.records)))
    row = int(np.flatnonzero(batch.records["dst_port"] == 7)[0])
    packet = batch.packets.packet(row)
    assert packet[42:] == bytes(range(18))
    assert batch.packets.wire_lengths[row] == 242
    assert batch.packets.link_types[row] == LinkType.ETHERNET
    assert not batch.records["flags"][row] & Flag.SNAPPED


@root
def test_a_vlan_tag_that_the_kernel_took_out_is_put_back(pair):
    frame = bytes(
        Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff")
        / Dot1Q(vlan=77)
        / IP(src="10.1.0.1", dst="10.1.0.2")
        / UDP(sport=1, dport=7)
        / b"tagged"
    )
    with opened(("vtpk0",)) as source:
        with inside(FAR), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("vtpk1", 0))
            wire.send(frame)
        batches = everything(source, lambda records: len(udp_to(7, records)))
    batch = next(batch for batch in batches if len(udp_to(7, batch.records)))
    row = int(np.flatnonzero(batch.records["dst_port"] == 7)[0])
    assert batch.packets.packet(row) == frame
    assert batch.packets.wire_lengths[row] == len(frame)


@root
def test_without_expression_everything_is_taken(pair):
    with opened((), None) as source, socket.create_server(("10.98.0.1", 5000)) as server:
        with inside(FAR):
            client = socket.socket()
        with client:
            client.connect(("10.98.0.1", 5000))
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"payload")
        batches = everything(
            source, lambda records: (records["detail"] * (records["dst_port"] == 5000) == 7).any()
        )
    carried = joined(batches)
    assert (carried["detail"][carried["dst_port"] == 5000] == 7).any()


@root
def test_what_the_socket_could_not_hold_is_told(pair, monkeypatch):
    monkeypatch.setattr("tracer.sources.sniff.source._BUFFER_BYTES", 4096)
    with opened(("vtpk0",)) as source, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(MANY):
            sender.sendto(bytes(1000), ("10.98.0.2", 7))
        batches = [source.read(0.01) for _ in range(20)]
    lost = sum(batch.lost.socket for batch in batches)
    assert lost > 0
    assert len(udp_to(7, joined(batches))) <= MANY <= len(joined(batches)) + lost
