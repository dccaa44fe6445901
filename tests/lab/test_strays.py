"""Packets made by hand are what other stacks take them for."""

from __future__ import annotations

from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

from lab.strays import OUTSIDE, _data_to, checksum


def asked(flags="PA", data=b"?\n", port=8080):
    packet = IP(src="10.244.1.100", dst="10.244.1.11") / TCP(
        sport=45000, dport=port, seq=7000, ack=9000, flags=flags
    )
    return bytes(packet / Raw(data)) if data else bytes(packet)


def test_the_answer_acknowledges_the_data_from_outside_the_window():
    client, made = _data_to(asked(), 8080)
    answer = IP(made)
    assert client == bytes([10, 244, 1, 100])
    assert (answer.src, answer.dst) == ("10.244.1.11", "10.244.1.100")
    assert (answer[TCP].sport, answer[TCP].dport) == (8080, 45000)
    assert (answer[TCP].seq, answer[TCP].ack) == (9000 + OUTSIDE, 7002)
    right = made[20:36] + b"\0\0" + made[38:]
    rebuilt = IP(src=answer.src, dst=answer.dst) / TCP(right)
    del rebuilt[TCP].chksum
    assert IP(bytes(rebuilt))[TCP].chksum == answer[TCP].chksum


def test_nothing_else_is_answered():
    assert _data_to(asked(data=b"", flags="A"), 8080) is None
    assert _data_to(asked(port=80), 8080) is None
    assert _data_to(b"\x45\0", 8080) is None


def test_the_checksum_of_what_carries_it_is_zero():
    header = b"\x08\0\0\0\x12\x67\0\x01"
    whole = header[:2] + checksum(header).to_bytes(2) + header[4:]
    assert checksum(whole) == 0
    assert checksum(b"\x01") == 0xFEFF
