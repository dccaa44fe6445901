"""scapy builds and reads packets one by one; the columns must read the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, CookedLinuxV2, Ether

from tests.tracer.packets.frames import frames, read_by_scapy
from tracer.events import EVENT, Flag, Hook, PacketBytes
from tracer.packets import LinkType, decode

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
LINKS = st.sampled_from([*LinkType, 9999])


def captured(*frames: tuple[int, bytes], wire: list[int] | None = None) -> PacketBytes:
    """Frames of (link type, bytes) as a batch carries them."""
    sizes = [len(frame) for _, frame in frames]
    return PacketBytes(
        np.frombuffer(b"".join(frame for _, frame in frames), dtype=np.uint8),
        np.cumsum([0, *sizes], dtype=np.int64),
        np.array(wire or sizes, dtype=np.uint32),
        np.array([link for link, _ in frames], dtype=np.uint16),
    )


def decoded(*frames, **options):
    packets = captured(*frames, **options)
    times = np.arange(len(frames), dtype=np.int64)
    return decode(packets, times, np.full(len(frames), 3, dtype=np.uint32), 4026531840)


def field(record, name):
    value = record[name]
    return value.tobytes() if name in ("src", "dst", "nat_src", "nat_dst") else int(value)


@settings(max_examples=40, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=12))
def test_columns_say_what_scapy_says(built):
    records, keep = decoded(*[(link, frame) for link, frame, _ in built])
    assert keep.tolist() == list(range(len(built)))
    for record, (link, _, packet) in zip(records, built, strict=True):
        expected = read_by_scapy(packet)
        assert {name: field(record, name) for name in expected} == expected
        cooked = link in (LinkType.LINUX_SLL, LinkType.LINUX_SLL2)
        assert bool(record["flags"] & Flag.OUTGOING) == cooked
        assert record["ifindex"] == (77 if link == LinkType.LINUX_SLL2 else 3)
        assert bool(record["flags"] & Flag.QUOTED) == ("nat_src" in expected)
        assert not record["flags"] & Flag.SNAPPED
        fragment = (IP in packet and packet.frag > 0) or IPv6ExtHdrFragment in packet
        assert bool(record["flags"] & Flag.FRAGMENT) == fragment


@settings(max_examples=80, deadline=None)
@given(frames(), st.data())
def test_a_cut_packet_says_less_but_nothing_else(built, data):
    link, frame, _ = built
    size = data.draw(st.integers(0, len(frame)))
    records, keep = decoded((link, frame[:size]), (link, frame), wire=[len(frame)] * 2)
    whole, fields = records[-1], ("src_port", "dst_port", "seq", "ack", "tcp_flags", "nat_src_port")
    if len(keep) == 1:
        return
    cut = records[0]
    for name in ("family", "src", "dst", "length", "ttl", "netns"):
        assert field(cut, name) == field(whole, name)
    for name in fields:
        assert field(cut, name) in (0, field(whole, name))
    if not cut["flags"] & Flag.SNAPPED:
        assert all(field(cut, name) == field(whole, name) for name in (*fields[:5], "detail"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(LINKS, st.binary(max_size=120)), max_size=20))
def test_garbage_never_raises(noise):
    records, keep = decoded(*noise)
    assert len(records) == len(keep) <= len(noise)
    assert (records["hook"] == Hook.PACKET).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_damaged_packets_never_raise(built, random):
    damaged = []
    for link, frame, _ in built:
        spoiled = bytearray(frame)
        for _ in range(random.randint(1, 6)):
            spoiled[random.randrange(len(spoiled))] = random.randrange(256)
        damaged.append((link, bytes(spoiled)))
    records, keep = decoded(*damaged)
    assert len(records) == len(keep)


def test_frames_without_ip_make_no_record():
    ip = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2))
    records, keep = decoded((1, bytes(ETHER / ARP())), (1, ip), (1, b""), (1, ip))
    assert keep.tolist() == [1, 3]
    assert records["time_ns"].tolist() == [1, 3]
    assert records.dtype == EVENT


def test_a_packet_is_known_as_soon_as_its_ip_header_is_whole():
    four = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP())
    six = bytes(ETHER / IPv6(src="::1", dst="::2") / TCP())
    sizes = [(four, 33), (four, 34), (six, 53), (six, 54)]
    records, keep = decoded(*[(1, frame[:size]) for frame, size in sizes])
    assert keep.tolist() == [1, 3]
    assert records["flags"].tolist() == [Flag.SNAPPED] * 2


def test_nothing_gives_nothing():
    records, keep = decoded()
    assert len(records) == len(keep) == 0


def test_an_offload_packet_without_length_takes_the_one_of_the_wire():
    frame = bytearray(bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2)))
    frame[16:18] = b"\0\0"
    six = bytearray(bytes(ETHER / IPv6(src="::1", dst="::2") / TCP(sport=1, dport=2)))
    six[18:20] = b"\0\0"
    records, _ = decoded((1, bytes(frame)), (1, bytes(six)), wire=[90_014, 90_014])
    assert records["length"].tolist() == [90_000, 90_000]
    assert records["detail"].tolist() == [90_000 - 40, 90_000 - 60]


def test_an_authentication_header_is_stepped_over():
    ah = bytes([17, 1, 0, 0]) + bytes(8)
    udp = bytes(UDP(sport=5, dport=53) / b"query")
    four = bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=51) / (ah + udp))
    six = bytes(IPv6(src="::1", dst="::2", nh=51) / (ah + udp))
    records, _ = decoded((LinkType.RAW, four), (LinkType.RAW, six))
    assert records["protocol"].tolist() == [17, 17]
    assert records["dst_port"].tolist() == [53, 53]
    assert records["detail"].tolist() == [5, 5]


def test_an_endless_extension_chain_is_given_up():
    chain = bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 200
    head = bytes(IPv6(src="::1", dst="::2", nh=60, plen=len(chain)))
    records, _ = decoded((LinkType.RAW, head + chain))
    assert records["src_port"].tolist() == [0]
    assert records["flags"].tolist() == [Flag.SNAPPED]


def test_loopback_is_told_from_the_cooked_header():
    frame = bytes(
        CookedLinuxV2(proto=0x800, lladdrtype=772, pkttype=0)
        / IP(src="10.0.0.1", dst="10.0.0.2")
        / TCP()
    )
    records, _ = decoded((LinkType.LINUX_SLL2, frame))
    assert records["flags"].tolist() == [Flag.LOOPBACK]
