"""What is written is read back, by us, by scapy and by Wireshark's tools."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader

from tracer import address
from tracer.capture_file import CaptureReader, CaptureWriter
from tracer.events import EventBatch, Flag, Origin, PacketBytes
from tracer.packets import decode

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
START = 1_700_000_000_123_456_789
NETNS = 4026531840


def batch_of(count: int, *, ifindexes=(3,), link: int = 1) -> EventBatch:
    """Packets of differing lengths, one nanosecond apart, every third one sent."""
    frames = [
        bytes(ETHER / IP(src="10.0.0.1", dst="10.96.0.10") / UDP(sport=n + 1, dport=53) / bytes(n))
        for n in range(count)
    ]
    sizes = np.array([len(frame) for frame in frames])
    packets = PacketBytes(
        np.frombuffer(b"".join(frames), dtype=np.uint8),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        (sizes + 100).astype(np.uint32),
        np.full(count, link, dtype=np.uint16),
    )
    points = np.resize(np.array(ifindexes, dtype=np.uint32), count)
    records, _ = decode(packets, np.arange(count) + START, points, NETNS)
    records["flags"][::3] |= np.uint16(Flag.OUTGOING)
    names = {3: "eth0", 4: "veth가"}
    return EventBatch(records, Origin.PACKETS, START, packets=packets, interfaces=names)


def written(*batches: EventBatch, comments=None, names=None) -> bytes:
    stream = io.BytesIO()
    writer = CaptureWriter(stream)
    if names:
        writer.names(names)
    for batch in batches:
        writer.write(batch, comments)
    return stream.getvalue()


def test_packets_times_directions_and_interfaces_come_back():
    batch = batch_of(100, ifindexes=(3, 4))
    reader = CaptureReader(io.BytesIO(written(batch, batch_of(0))), "story")
    chunk = reader.read()
    packets = chunk.spans.packed()
    assert packets.data.tobytes() == batch.packets.data.tobytes()
    assert packets.starts.tolist() == batch.packets.starts.tolist()
    assert packets.wire_lengths.tolist() == batch.packets.wire_lengths.tolist()
    assert chunk.times_ns.tolist() == batch.records["time_ns"].tolist()
    assert chunk.outgoing.tolist() == [n % 3 == 0 for n in range(100)]
    origins = [reader.interfaces[i].origin for i in chunk.interfaces.tolist()]
    assert origins == [(3, NETNS), (4, NETNS)] * 50
    assert [i.name for i in reader.interfaces] == ["eth0", "veth가"]
    assert (reader.read(), reader.damaged) == (None, 0)


def test_comments_and_names_do_not_disturb_the_packets():
    batch = batch_of(10)
    comments = {0: "translated to default/web-0", 4: "가나\0다", 9: "x" * 10_000}
    names = {address.parse("10.0.0.1"): "default/client", address.parse("fd00::1"): "six\0"}
    raw = written(batch, comments=comments, names=names)
    reader = CaptureReader(io.BytesIO(raw), "story")
    chunk = reader.read()
    assert chunk.spans.packed().data.tobytes() == batch.packets.data.tobytes()
    assert chunk.outgoing.tolist() == [n % 3 == 0 for n in range(10)]
    assert reader.damaged == 0
    assert raw.count("가나다".encode()) == 1


def test_scapy_reads_it(tmp_path):
    path = tmp_path / "ours.pcapng"
    batch = batch_of(20, ifindexes=(3, 4))
    path.write_bytes(written(batch, comments={2: "note"}))
    with RawPcapNgReader(str(path)) as reader:
        found = list(reader)
    assert [data for data, _ in found] == [batch.packets.packet(row) for row in range(20)]
    seen = [(meta.tshigh << 32) + meta.tslow for _, meta in found]
    assert seen == batch.records["time_ns"].tolist()


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_tshark_reads_it_with_names_and_comments(tmp_path):
    path = tmp_path / "ours.pcapng"
    names = {address.parse("10.0.0.1"): "default/client", address.parse("10.96.0.10"): "dns"}
    batch = batch_of(5, ifindexes=(3, 4))
    path.write_bytes(written(batch, comments={2: "to kube-system/coredns-1"}, names=names))
    fields = [
        "frame.time_epoch",
        "frame.interface_name",
        "frame.comment",
        "ip.src_host",
        "ip.dst_host",
    ]
    wanted = [word for name in fields for word in ("-e", name)]
    shown = subprocess.run(
        ["tshark", "-r", path, "-Nn", "-T", "fields", "-E", "separator=|", *wanted],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert shown[2] == "1700000000.123456791|eth0|to kube-system/coredns-1|default/client|dns"
    assert [line.split("|")[1] for line in shown] == ["eth0", "veth가", "eth0", "veth가", "eth0"]


@pytest.mark.skipif(not shutil.which("capinfos"), reason="capinfos is not installed")
def test_capinfos_finds_nothing_wrong(tmp_path):
    path = tmp_path / "ours.pcapng"
    path.write_bytes(written(batch_of(50), batch_of(50, ifindexes=(4,)), comments={0: "x"}))
    told = subprocess.run(
        ["capinfos", "-c", "-t", "-I", "-M", path], check=True, capture_output=True, text=True
    ).stdout
    assert "Number of packets:   100" in told
    assert "Number of interfaces in file: 2" in told


def test_tcp_through_the_whole_chain():
    frame = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=80, flags="S"))
    packets = PacketBytes(
        np.frombuffer(frame, dtype=np.uint8),
        np.array([0, len(frame)]),
        np.array([len(frame)], dtype=np.uint32),
        np.array([1], dtype=np.uint16),
    )
    records, _ = decode(packets, np.array([START]), np.array([3], dtype=np.uint32), NETNS)
    batch = EventBatch(records, Origin.PACKETS, START, packets=packets)
    chunk = CaptureReader(io.BytesIO(written(batch)), "story").read()
    again, _ = decode(chunk.spans.packed(), chunk.times_ns, np.array([3], dtype=np.uint32), NETNS)
    assert again.tobytes() == records.tobytes()
