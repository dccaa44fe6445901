"""Recordings for strangers hold nothing that names anybody, and replay all the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from tests.tracer.diagnosis import story
from tests.tracer.packets.frames import frames
from tests.tracer.packets.tunnels import MACS, tunnelled
from tests.tracer.recording.stories import (
    VIP,
    lines_of,
    mapping_told,
    opened,
    recorder,
    replayed,
    sniffed,
    steps,
    tcp,
)
from tracer import address
from tracer.capture_file import CaptureStream
from tracer.events import EventBatch, Origin, PacketBytes
from tracer.packets import LinkType, decode
from tracer.recording.addresses import AddressMap
from tracer.recording.privacy import Anonymized, Cut, Shortened

KEY = bytes(range(1, 33))
SECRETS = [
    *(story.CLIENT, story.VIP, story.POD_HERE, story.POD_THERE, story.MASTER_1, story.MASTER_2),
    *("web", "pod-10", "master-1", "worker-1", "hush"),
]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps())
def test_headers_are_enough_to_say_the_same(told):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pcapng"
        live = lines_of(told, recorder(path, privacy=Shortened(Cut(payload=64))))
        assert replayed(opened(path)) == live


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps())
def test_strangers_see_as_many_flows_and_findings(told):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pcapng"
        live = lines_of(told, recorder(path, privacy=Anonymized(Cut(payload=64))))
        seen = replayed(opened(path))
        assert [_outline(line) for line in seen] == [_outline(line) for line in live]


def _outline(line: bytes) -> tuple[object, ...]:
    said = json.loads(line)
    return said["type"], said.get("cause"), said.get("state"), said.get("first"), said.get("count")


def test_no_secret_is_in_what_strangers_get(tmp_path):
    told = [
        ("node", story.node_state(story.MASTER_2, mode="ipvs"), 0),
        ("cluster", story.cluster(story.service(), endpoints=(story.THERE,)), 0),
        mapping_told(0.1, f"{story.CLIENT}:4000", VIP),
        ("batch", sniffed((0.2, tcp(f"{story.CLIENT}:4000", VIP, 2, b"hush" * 50)), until=0.2, interfaces={2: "eth-acme"}), 0),
        ("batch", sniffed((9.0, tcp(f"{story.CLIENT}:4000", VIP, 16, b"hush")), until=9), 0),
    ]  # fmt: skip
    path = tmp_path / "run.pcapng"
    lines_of(told, recorder(path, privacy=Anonymized(Cut())))
    raw = path.read_bytes()
    packed = [address.parse(ip) for ip in SECRETS[:6]]
    everything = raw + b"\n".join(replayed(opened(path)))
    assert [secret for secret in SECRETS if secret.encode() in everything] == []
    assert [ip for ip in packed if ip in raw or ip[12:] in raw] == []
    assert b"acme" not in raw
    assert "→".encode() in raw


in_tunnels = tunnelled().map(lambda built: (LinkType.RAW, bytes(built[2]), built[3]))


@settings(max_examples=90, deadline=None)
@given(frames() | in_tunnels)
def test_packets_keep_their_shape_and_lose_their_addresses(frame):
    link, raw, _ = frame
    before = batch_of(link, raw)
    after = Anonymized(Cut(), KEY).batch(before)
    decoded = batch_of(link, after.packets.packet(0), wire=len(raw)).records
    names = AddressMap(KEY)
    for side in ("src", "dst", "nat_src", "nat_dst"):
        assert decoded[side].tolist() == names.column(before.records[side]).tolist()
        assert after.records[side].tolist() == decoded[side].tolist()
    kept = ("src_port", "dst_port", "protocol", "tcp_flags", "seq", "ack", "length", "ttl", "ip_id")
    for name in (*kept, "nat_src_port", "nat_dst_port", "flags", "detail", "reason"):
        assert decoded[name] == before.records[name], name


def batch_of(link: int, raw: bytes, wire: int = 0) -> EventBatch:
    packets = PacketBytes(
        np.frombuffer(raw, dtype=np.uint8),
        np.array([0, len(raw)]),
        np.array([wire or len(raw)], dtype=np.uint32),
        np.array([link], dtype=np.uint16),
    )
    records, _ = decode(packets, np.array([1]), np.array([1], dtype=np.uint32))
    return EventBatch(records, Origin.PACKETS, 1, packets=packets)


def test_what_is_in_tunnels_is_hidden_and_cut_as_well():
    secret = b"the payload of somebody"
    inside = IP(src="10.244.7.7", dst="10.244.9.9") / UDP(sport=4, dport=5) / Raw(secret * 9)
    nodes = IP(src="192.168.3.4", dst="192.168.4.3")
    framed = Ether(**MACS) / inside
    for tunnel in (UDP(dport=8472) / VXLAN(vni=9, flags=8), GRE(proto=0x6558, chksum_present=1)):
        whole = bytes(nodes / tunnel / framed)
        packets = batch_of(LinkType.RAW, whole)
        hidden = Anonymized(Cut(payload=len(secret)), KEY).batch(packets).packets.packet(0)
        assert hidden.endswith(bytes(len(secret)))
        assert len(hidden) == len(whole) - 8 * len(secret)
        addresses = [address.parse(ip)[12:] for ip in (inside.src, inside.dst, nodes.src)]
        macs = [bytes.fromhex(mac.replace(":", "")) for mac in MACS.values()]
        assert [told for told in (secret, *addresses, *macs) if told in hidden] == []


def test_snaplen_cuts_and_the_wire_length_stays(tmp_path):
    told = [("batch", sniffed((0.1, tcp("10.0.0.1:1", "10.0.0.2:2", 2, bytes(500))), until=1), 0)]
    for cut, captured in ((Cut(), 540), (Cut(payload=64), 104), (Cut(snap=60), 60)):
        path = tmp_path / "run.pcapng"
        lines_of(told, recorder(path, privacy=Shortened(cut)))
        source = opened(path)
        source.open()
        batch = source.read(0)
        source.close()
        assert np.diff(batch.packets.starts).tolist() == [captured]
        assert batch.packets.wire_lengths.tolist() == [540]


def test_the_header_says_that_a_file_is_for_strangers(tmp_path):
    path = tmp_path / "run.pcapng"
    lines_of([("node", story.node_state(), 0)], recorder(path, privacy=Anonymized(Cut())))
    stream = CaptureStream(path)
    assert b'"anonymized": true' in stream.peek(4096)
    stream.close()
