"""Fingerprints tell packets apart and survive translation."""

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Raw

from tracer.events import PacketBytes
from tracer.packets import LinkType, decode


def cookies(*packets, captured=None):
    """The fingerprint of each packet, of which the first ``captured`` bytes are there."""
    whole = [bytes(packet) for packet in packets]
    cut = [raw[:captured] for raw in whole]
    records, _ = decode(
        PacketBytes(
            np.frombuffer(b"".join(cut), dtype=np.uint8),
            np.cumsum([0, *map(len, cut)]).astype(np.int64),
            np.array([len(raw) for raw in whole], dtype=np.uint32),
            np.full(len(whole), LinkType.RAW, dtype=np.uint16),
        ),
        np.arange(len(whole), dtype=np.int64),
        np.ones(len(whole), dtype=np.uint32),
    )
    return [int(cookie) for cookie in records["cookie"]]


FOUR = IP(src="10.0.0.1", dst="10.0.0.2"), IP(src="172.18.0.2", dst="10.244.0.9", ttl=63)
SIX = IPv6(src="fd00::1", dst="fd00::2"), IPv6(src="fd00::3", dst="fd00::9", hlim=63)
TIMES = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (77, 0)), ("WScale", 7)]
LATER = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (78, 0)), ("WScale", 7)]


def syn(network, options, port=80):
    return network / TCP(sport=5, dport=port, seq=9, flags="S", options=options)


TRANSLATED = {
    "udp": [network / UDP(sport=5, dport=6) / Raw(b"question") for network in (*FOUR, *SIX)],
    "udp ports": [FOUR[0] / UDP(sport=p, dport=6) / Raw(b"question" * 30) for p in (1, 2)],
    "echo id": [FOUR[0] / ICMP(id=number, seq=4) / Raw(b"ping" * 9) for number in (1, 2)],
    "echo 6": [SIX[0] / ICMPv6EchoRequest(id=n, seq=4, data=b"x" * 50) for n in (1, 2)],
    "sctp": [FOUR[0] / SCTP(sport=p, dport=6) / SCTPChunkInit(init_tag=3) for p in (1, 2)],
    "syn": [
        syn(network, TIMES, port) for network, port in zip((*FOUR, *SIX), range(4), strict=True)
    ],
    "syn of another stack": [
        syn(FOUR[0], TIMES),
        syn(FOUR[0], [("NOP", None), ("NOP", None), ("Timestamp", (77, 0))]),
    ],
}


@pytest.mark.parametrize("packets", TRANSLATED.values(), ids=TRANSLATED)
def test_translation_leaves_it_alone(packets):
    found = cookies(*packets)
    assert len(set(found)) == 1
    assert found[0]


DIFFERENT = {
    "content": [FOUR[0] / UDP() / Raw(text) for text in (b"question1", b"question2")],
    "length": [FOUR[0] / UDP() / Raw(bytes(size)) for size in (8, 9)],
    "64th byte": [FOUR[0] / UDP() / Raw(bytes(63) + last) for last in (b"a", b"b")],
    "echo sequence": [FOUR[0] / ICMP(seq=number) / Raw(b"ping" * 9) for number in (1, 2)],
    "timestamps": [syn(FOUR[0], TIMES), syn(FOUR[0], LATER)],
}


@pytest.mark.parametrize("packets", DIFFERENT.values(), ids=DIFFERENT)
def test_other_packets_have_another(packets):
    assert len(set(cookies(*packets))) == 2


def test_bytes_behind_the_sixty_fourth_do_not_count():
    one, other = (FOUR[0] / UDP() / Raw(bytes(64) + last) for last in (b"a", b"b"))
    assert len(set(cookies(one, other))) == 1


def test_nothing_to_tell_a_packet_by_is_zero():
    bare = FOUR[0] / UDP()
    data = FOUR[0] / TCP(flags="PA", seq=5) / Raw(b"told apart by its sequence number")
    refused = FOUR[0] / ICMP(type=3, code=3) / FOUR[1] / UDP()
    assert cookies(bare, data, refused, syn(FOUR[0], [])) == [0, 0, 0, 0]


def test_a_payload_cut_within_what_counts_has_none():
    question = FOUR[0] / UDP() / Raw(b"q" * 40)
    assert cookies(question, captured=60) == [0]
    assert cookies(question, captured=68) == cookies(question) != [0]


def test_hostile_options_end_the_search():
    for options in (b"\x08\x00" * 10, b"\x01" * 40, b"\x08\x0a\x00\x00", b"\x05\x28" + bytes(38)):
        header = bytearray(bytes(TCP(sport=5, dport=6, seq=9, flags="S")))
        header[12] = (20 + len(options)) // 4 << 4
        assert cookies(_tcp(header, options)) == [0]


def _tcp(header, options):
    return IP(src="10.0.0.1", dst="10.0.0.2", proto=6) / Raw(bytes(header) + options)


def test_it_does_not_hang_on_the_packets_beside_it():
    short, long = (FOUR[0] / UDP(sport=5, dport=6) / Raw(b"x" * size) for size in (5, 60))
    assert cookies(short, long)[0] == cookies(short)[0]
