"""The packet inside a tunnel is read as if it had come alone; what looks like one is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from tests.tracer.packets.frames import read_by_scapy
from tests.tracer.packets.test_decode import decoded, field
from tests.tracer.packets.tunnels import MACS, tunnelled
from tracer import address
from tracer.events import Flag, Tunnel
from tracer.packets import LinkType

INNER = IP(src="10.244.0.5", dst="10.244.1.7", id=9, ttl=63) / TCP(sport=40000, dport=80, flags="S")
NODES = {"src": "192.168.0.1", "dst": "192.168.0.2"}


def vxlan(inside, *, port=8472, vni=42, head=None):
    head = head or VXLAN(vni=vni, flags=8, NextProtocol=0)
    frame = Ether(**MACS) / inside
    return IP(**NODES) / UDP(sport=50000, dport=port) / head / Raw(bytes(frame))


def read(*packets, **options):
    frames = [(LinkType.RAW, bytes(packet)) for packet in packets]
    return decoded(*frames, **options)[0]


def tunnel_of(record):
    """(kind, identifier, source, destination) of the tunnel a record tells of; None without."""
    if not record["flags"] & Flag.TUNNELLED:
        return None
    number = int(record["nat_src_port"]) << 16 | int(record["nat_dst_port"])
    ends = (address.text(record[side].tobytes()) for side in ("nat_src", "nat_dst"))
    return Tunnel(record["reason"]), number, *ends


@settings(max_examples=60, deadline=None)
@given(st.lists(tunnelled(), min_size=1, max_size=8))
def test_what_is_inside_is_what_scapy_put_there(built):
    records = read(*[outer for _, _, outer, _ in built])
    for record, (kind, identifier, outer, inside) in zip(records, built, strict=True):
        expected = read_by_scapy(inside)
        assert {name: field(record, name) for name in expected} == expected
        if "nat_src" not in expected:
            assert tunnel_of(record) == (kind, identifier, outer.src, outer.dst)


@settings(max_examples=60, deadline=None)
@given(tunnelled(), st.data())
def test_a_cut_tunnel_tells_the_inner_or_the_outer_packet(built, data):
    _, _, outer, inside = built
    raw = bytes(outer)
    size = data.draw(st.integers(40, len(raw)))
    whole, part = read(outer), decoded((LinkType.RAW, raw[:size]), wire=[len(raw)])[0]
    for record in part:
        sides = [field(record, name) for name in ("src", "dst")]
        assert sides in (
            [address.parse(packet.src), address.parse(packet.dst)] for packet in (outer, inside)
        )
        if record["flags"] & Flag.QUOTED == whole[0]["flags"] & Flag.QUOTED:
            assert field(record, "nat_src_port") in (0, field(whole[0], "nat_src_port"))


@settings(max_examples=60, deadline=None)
@given(st.lists(tunnelled(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_damaged_tunnels_never_raise(built, random):
    frames = []
    for _, _, outer, _ in built:
        spoiled = bytearray(bytes(outer))
        for _ in range(random.randint(1, 6)):
            spoiled[random.randrange(len(spoiled))] = random.randrange(256)
        frames.append((LinkType.RAW, bytes(spoiled[: random.randint(20, len(spoiled))])))
    records, keep = decoded(*frames)
    assert len(records) == len(keep)


@pytest.mark.parametrize("port", [4789, 8472, 12345])
def test_vxlan_on_any_port(port):
    (record,) = read(vxlan(INNER, port=port))
    assert tunnel_of(record) == (Tunnel.VXLAN, 42, "192.168.0.1", "192.168.0.2")
    assert (record["src_port"], record["dst_port"], record["ttl"]) == (40000, 80, 63)


def test_the_group_policy_and_generic_headers_of_vxlan():
    policy = Raw(bytes([0x88, 0, 1, 2, 0, 0, 7, 0]))
    generic = Raw(bytes([0x0C, 0, 0, 1, 0, 0, 7, 0]))
    bare = IP(**NODES) / UDP(sport=5, dport=4790) / generic / Raw(bytes(INNER))
    for record in read(vxlan(INNER, head=policy), bare):
        assert tunnel_of(record)[:2] == (Tunnel.VXLAN, 7)
        assert record["dst_port"] == 80


def test_of_tunnels_in_tunnels_the_innermost_is_told():
    (record,) = read(IP(src="1.1.1.1", dst="2.2.2.2") / GRE(proto=0x800) / vxlan(INNER))
    assert tunnel_of(record) == (Tunnel.VXLAN, 42, "192.168.0.1", "192.168.0.2")
    assert field(record, "src") == address.parse("10.244.0.5")


def test_an_endless_tunnel_is_given_up():
    packet = INNER
    for _ in range(40):
        packet = IP(**NODES) / packet
    (record,) = read(packet)
    assert tunnel_of(record)[0] == Tunnel.IPIP


def test_an_icmp_error_in_a_tunnel_tells_of_the_packet_it_quotes():
    error = IP(src="10.244.1.1", dst="10.244.0.5") / ICMP(type=3, code=3) / Raw(bytes(INNER))
    (record,) = read(vxlan(error))
    assert record["flags"] & (Flag.TUNNELLED | Flag.QUOTED) == Flag.QUOTED
    assert (record["nat_dst_port"], record["reason"]) == (80, 6)


def test_what_is_no_tunnel_stays_as_it_is():
    wrong = bytearray(bytes(INNER))
    wrong[10] ^= 0x55
    fronts = IP(**NODES) / UDP(sport=5, dport=53)
    packets = [
        vxlan(Raw(bytes(wrong))),
        fronts / Raw(bytes(wrong)),
        fronts / Raw(bytes(INNER) + b"x"),
        fronts / Raw(b"\x08" + bytes(60)),
        fronts / Raw(b"E" * 60),
        vxlan(ARP()),
        IP(**NODES, proto=47) / Raw(bytes([0x40, 0, 8, 0]) + bytes(4) + bytes(INNER)),
        IP(**NODES, proto=4) / Raw(bytes(40)),
    ]
    for record in read(*packets):
        assert tunnel_of(record) is None
        assert field(record, "dst") == address.parse("192.168.0.2")
        assert not field(record, "nat_src").strip(b"\0")


def test_ipv6_on_an_unknown_port_must_fill_its_tunnel():
    six = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=53) / b"query"
    exact, more = vxlan(six, port=7777), vxlan(six / Raw(b"x"), port=7777)
    more[UDP].payload = Raw(bytes(more[UDP].payload) + b"trailer")
    records = read(exact, more)
    assert [tunnel_of(record) is None for record in records] == [False, True]


def test_the_first_fragment_of_a_tunnel_is_looked_into():
    raw = bytes(vxlan(INNER / Raw(bytes(2000))))
    first = IP(**NODES, flags="MF", proto=17) / Raw(raw[20:1500])
    later = IP(**NODES, frag=185, proto=17) / Raw(raw[1500:])
    records = read(first, later)
    assert tunnel_of(records[0])[0] == Tunnel.VXLAN
    assert records["length"][0] == 2040
    assert tunnel_of(records[1]) is None


def test_headers_without_checksum_are_those_of_an_anonymized_capture():
    wiped = bytearray(bytes(vxlan(INNER)))
    inner = len(wiped) - len(INNER)
    wiped[inner + 10 : inner + 12] = b"\0\0"
    (record,) = read(Raw(bytes(wiped)))
    assert tunnel_of(record)[0] == Tunnel.VXLAN


def test_the_same_packet_has_the_same_fingerprint_inside_and_outside():
    ask = IP(src="10.244.0.5", dst="10.96.0.10") / UDP(sport=4000, dport=53) / b"one question"
    bare, carried = read(ask, vxlan(ask))
    assert bare["cookie"] == carried["cookie"] != 0
    assert np.array_equal(bare["src"], carried["src"])
