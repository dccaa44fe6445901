"""On a kernel with kprobes and IPVS: every decision is told once and with the right tuple."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from probes.hooks import BY_ID, Cost
from tests.kernel import field
from tracer import address
from tracer.events import Flag, Hook, Protocol
from tracer.names import Names
from tracer.settings import LiveSettings
from tracer.sources.kernel import KernelSource

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]

TEXTS = Names()
RELEASE = tuple(int(part) for part in platform.release().split(".")[:2])
TYPES_OF_MODULES = RELEASE >= (5, 11)
REASONS = RELEASE >= (5, 17)
of_a_module = pytest.mark.skipif(
    not TYPES_OF_MODULES, reason="modules describe their types since Linux 5.11"
)


@pytest.fixture(scope="module")
def network():
    field.run(f"modprobe -a {' '.join(field.MODULES)}")
    field.remove()
    field.build()
    echo = field.Echo()
    yield
    echo.close()
    field.remove()


@pytest.fixture(scope="module")
def source(network):
    made = KernelSource(LiveSettings(all_namespaces=True), TEXTS)
    made.open()
    yield made
    made.close()


class Seen:
    """What the probes have told since the test began."""

    def __init__(self, source):
        self.source, self.records, self.lost = source, [], 0
        while len(source.read(0.05).records):
            continue

    def until(self, hook, count=1, seconds=15.0, **fields):
        """Records of a hook, as soon as there are ``count`` of them."""
        deadline = time.monotonic() + seconds
        while True:
            rows = self.rows(hook, **fields)
            if len(rows) >= count or time.monotonic() > deadline:
                return rows
            self.read(0.1)

    def read(self, timeout):
        batch = self.source.read(timeout)
        self.lost += batch.lost.total
        self.records.append(batch.records)

    def rows(self, hook, **fields):
        records = np.concatenate(self.records) if self.records else np.zeros(0)
        if not len(records):
            return []
        keep = records["hook"] == hook
        for name, value in fields.items():
            keep &= records[name] == value
        return [Row(record) for record in records[keep]]


class Row:
    """One record in words."""

    def __init__(self, record):
        self.before = self._tuple(record, "src", "dst")
        self.after = self._tuple(record, "nat_src", "nat_dst")
        self.flags, self.netns = Flag(int(record["flags"])), int(record["netns"])
        self.reason, self.detail = int(record["reason"]), int(record["detail"])
        self.record = record

    def _tuple(self, record, source, target):
        ends = []
        for name in (source, target):
            ends.append(address.text(record[name].tobytes()))
            ends.append(int(record[f"{name}_port"]))
        return tuple(ends)


@pytest.fixture
def seen(source):
    source.set_watched(None)
    return Seen(source)


ENGINES = {
    "ipvs": Flag.IPVS,
    "iptables": Flag.IPTABLES,
    "legacy": Flag.IPTABLES,
    "nftables": Flag.NFTABLES,
}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "engine",
    [pytest.param(name, marks=of_a_module) if name == "nftables" else name for name in ENGINES],
)
def test_each_engine_tells_its_translation(seen, engine, family):
    with field.connect(field.VIPS[engine][family], 80) as peer:
        port = peer.getsockname()[1]
        field.exchange(peer)
        (row,) = seen.until(Hook.CT_NEW, src_port=port)
    source_after = "10.222.2.1" if family == 4 else field.SOURCES[6]
    assert row.before == (field.SOURCES[family], port, field.VIPS[engine][family], 80)
    assert row.after == (source_after, port, field.BACKENDS[family], field.PORT)
    assert row.flags & ENGINES[engine]
    assert row.flags & Flag.AFTER
    assert row.netns == field.inode(field.NODE)


@of_a_module
@pytest.mark.parametrize("family", [4, 6])
def test_ipvs_tells_its_own_connection(seen, family):
    with field.connect(field.VIPS["ipvs"][family], 80) as peer:
        port = peer.getsockname()[1]
        (row,) = seen.until(Hook.IPVS_NEW, src_port=port)
    assert row.before == (field.SOURCES[family], port, field.VIPS["ipvs"][family], 80)
    assert row.after == (field.SOURCES[family], port, field.BACKENDS[family], field.PORT)
    assert row.netns == field.inode(field.NODE)


def test_nat_decisions_name_the_kind(seen):
    with field.connect(field.VIPS["nftables"][4], 80) as peer:
        rows = seen.until(Hook.NAT_DECIDED, 2, src_port=peer.getsockname()[1])
    assert [(row.reason, row.after[2]) for row in rows] == [
        (1, field.BACKENDS[4]),
        (0, field.BACKENDS[4]),
    ]


@of_a_module
@pytest.mark.parametrize("family", [4, 6])
def test_a_virtual_server_without_destination(seen, family):
    with pytest.raises(OSError, match="refused"):
        field.connect(field.VIPS["ipvs"][family], 81)
    row = seen.until(Hook.IPVS_NO_DEST)[0]
    assert row.before[2:] == (field.VIPS["ipvs"][family], 81)
    refusal = seen.until(Hook.ICMP_SENT)[0]
    assert refusal.detail == (3 << 8 | 3 if family == 4 else 1 << 8 | 4)


def test_a_port_of_kube_ipvs0_without_service_is_delivered_locally(seen):
    with pytest.raises(OSError, match="refused"):
        field.connect(field.VIPS["ipvs"][4], 2380)
    row = seen.until(Hook.LOCAL_IN)[0]
    assert row.before[2:] == (field.VIPS["ipvs"][4], 2380)
    reset = seen.until(Hook.RST_SENT)[0]
    assert reset.netns == field.inode(field.NODE)


@pytest.mark.parametrize("family", [4, 6])
def test_a_closed_port_is_reset_in_the_backends_namespace(seen, family):
    with pytest.raises(OSError, match="refused"):
        field.connect(field.BACKENDS[family], 81)
    reset = seen.until(Hook.RST_SENT)[0]
    assert reset.before[2:] == (field.BACKENDS[family], 81)
    assert reset.netns == field.inode(field.BACKEND)
    drop = seen.until(Hook.DROP)[0]
    assert TEXTS.text(drop.reason) == ("NO_SOCKET" if REASONS else "")


def test_a_reject_rule_resets(seen):
    with pytest.raises(OSError, match="refused"):
        field.connect(field.BACKENDS[4], 9998)
    reset = seen.until(Hook.RST_SENT)[0]
    assert (reset.before[3], reset.detail) == (9998, 1)
    assert reset.netns == field.inode(field.NODE)


def test_a_drop_names_reason_and_place(seen):
    with pytest.raises(OSError, match="timed out"):
        field.connect(field.BACKENDS[4], 9999, timeout=0.5)
    row = seen.until(Hook.DROP)[0]
    assert row.before[2:] == (field.BACKENDS[4], 9999)
    assert TEXTS.text(row.reason) == ("NETFILTER_DROP" if REASONS else "")
    assert TEXTS.text(row.detail) in ("nft_do_chain", "nf_hook_slow")
    assert row.netns == field.inode(field.NODE)


def test_a_destination_without_route_is_refused_by_icmp(seen):
    with pytest.raises(OSError, match="unreachable"):
        field.connect("10.9.9.9", 80)
    row = seen.until(Hook.ICMP_SENT)[0]
    assert (row.before[2], row.detail) == ("10.9.9.9", 3 << 8)


def test_a_full_table_is_told_with_the_tuple(seen):
    field.run("sysctl -qw net.netfilter.nf_conntrack_max=1")
    try:
        with pytest.raises(OSError, match="timed out"):
            field.connect(field.BACKENDS[4], 8080, timeout=0.5)
    finally:
        field.run("sysctl -qw net.netfilter.nf_conntrack_max=65536")
    row = seen.until(Hook.CT_FULL)[0]
    assert row.before[2:] == (field.BACKENDS[4], 8080)


@pytest.mark.parametrize("connections", [97])
def test_as_many_connections_as_were_made(seen, connections):
    ports = []
    for number in range(connections):
        engine = list(ENGINES)[number % len(ENGINES)]
        with field.connect(field.VIPS[engine][4], 80) as peer:
            ports.append(peer.getsockname()[1])
            field.exchange(peer)
    rows = seen.until(Hook.CT_NEW, connections, netns=field.inode(field.NODE))
    assert sorted(row.before[1] for row in rows) == sorted(ports)
    assert seen.lost == 0


def test_an_end_carries_the_counters_of_the_connection(seen):
    with field.connect(field.VIPS["iptables"][6], 80) as peer:
        port = peer.getsockname()[1]
        field.exchange(peer, times=10)
    field.on_node(f"conntrack -D -f ipv6 -p tcp --orig-port-src {port}")
    (row,) = seen.until(Hook.CT_END, src_port=port)
    assert row.record["seq"] >= 10
    assert row.record["ack"] >= 10
    assert row.detail & 0xFFFFFFFF >= 1000 < row.detail >> 32
    assert row.flags & Flag.ASSURED


@of_a_module
def test_ipvs_connections_end(seen):
    field.on_node("ipvsadm --set 1 1 1")
    try:
        with field.connect(field.VIPS["ipvs"][4], 80) as peer:
            port = peer.getsockname()[1]
            (row,) = seen.until(Hook.IPVS_END, seconds=30, src_port=port)
    finally:
        field.on_node("ipvsadm --set 900 120 300")
    assert row.after[2:] == (field.BACKENDS[4], field.PORT)


def runs():
    """How often each probe program has run, by name; needs kernel.bpf_stats_enabled."""
    programs = json.loads(field.run("bpftool -j prog show"))
    return {p["id"]: (p["type"], p["name"], p.get("run_cnt", 0)) for p in programs}


def test_no_probe_runs_for_packets_of_established_connections(seen):
    field.on_node("conntrack -F")  # or the end of an earlier connection would be counted
    peers = [field.connect(vips[family], 80) for vips in field.VIPS.values() for family in (4, 6)]
    for peer in peers:
        field.exchange(peer, times=10)
    seen.until(Hook.CT_NEW, len(peers))
    field.run("sysctl -qw kernel.bpf_stats_enabled=1")
    try:
        before = runs()
        for peer in peers:
            field.exchange(peer, times=500)
        after = runs()
    finally:
        field.run("sysctl -qw kernel.bpf_stats_enabled=0")
        for peer in peers:
            peer.close()
    ran = {
        after[number][1]: after[number][2] - before[number][2]
        for number in before
        if after[number][0] == "kprobe" and after[number][2] > before[number][2]
    }
    assert ran == {}


def test_only_watched_addresses_are_told_unless_translated(source, seen):
    source.set_watched([(address.parse(field.BACKENDS[6]), 128)])
    with pytest.raises(OSError, match="refused"):
        field.connect(field.VIPS["ipvs"][4], 2381)
    with pytest.raises(OSError, match="refused"):
        field.connect(field.BACKENDS[6], 82)
    assert len(seen.until(Hook.RST_SENT)) == 1
    assert {row.before[2] for row in seen.rows(Hook.RST_SENT)} == {field.BACKENDS[6]}
    with field.connect(field.VIPS["nftables"][4], 80) as peer:
        assert seen.until(Hook.CT_NEW, src_port=peer.getsockname()[1])


def test_udp_is_told_as_well(seen):
    with field.inside(field.CLIENT):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.sendto(b"x", (field.BACKENDS[4], 5353))
        (row,) = seen.until(Hook.CT_NEW, protocol=Protocol.UDP)
        assert row.before[1] == client.getsockname()[1]
    (refusal,) = seen.until(Hook.ICMP_SENT)
    assert refusal.netns == field.inode(field.BACKEND)


def test_deep_hooks_tell_the_way_of_each_packet(source, seen):
    deep = [hook.id for hook in BY_ID.values() if hook.cost is Cost.PACKET]
    source.arm(deep)
    try:
        seen = Seen(source)
        with field.connect(field.VIPS["ipvs"][4], 80) as peer:
            port = peer.getsockname()[1]
            field.exchange(peer)
        ipvs = (Hook.IPVS_SENT, Hook.IPVS_REPLY) if TYPES_OF_MODULES else ()
        for hook in (*ipvs, Hook.LOCAL_IN, Hook.VERDICT, Hook.TABLE):
            assert seen.until(hook), hook.name
        with field.connect(field.VIPS["nftables"][6], 80) as peer:
            field.exchange(peer)
        assert seen.until(Hook.FORWARD)
        if ipvs:
            assert seen.rows(Hook.IPVS_SENT)[0].before[1] == port
        tables = {TEXTS.text(row.detail) for row in seen.rows(Hook.TABLE)}
        assert {"pre", "nat"} & tables
        assert {row.reason for row in seen.rows(Hook.VERDICT)} <= {0, 1, 2}
    finally:
        source.disarm(deep)


def test_every_decision_hook_of_this_kernel_is_attached(source):
    missing = {s.id: s.problem for s in source.report().hooks if s.problem}
    reasons = ["module", "no function", "compiler"]
    if not TYPES_OF_MODULES:
        reasons += ["BTF does not describe ip_vs_conn", "BTF does not describe nft_pktinfo"]
    for hook, problem in missing.items():
        assert any(reason in problem for reason in reasons), hook
    assert source.report().way == "types from BTF, no kernel headers"


def attached():
    perf = json.loads(field.run("bpftool -j perf show"))
    programs = json.loads(field.run("bpftool -j prog show"))
    raw = [p for p in programs if p["type"] in ("kprobe", "raw_tracepoint")]
    return len(perf), len(raw)


def test_sigkill_leaves_no_probe_behind(source):
    before = attached()
    code = "from probes import Loader; Loader().open(); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        during = attached()
        os.kill(child.pid, signal.SIGKILL)
    assert min(now - then for now, then in zip(during, before, strict=True)) > 10
    deadline = time.monotonic() + 30
    while attached() != before and time.monotonic() < deadline:
        continue
    assert attached() == before
