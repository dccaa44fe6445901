"""The filter is tried on the running kernel: it runs on a pair of local sockets, too."""

from __future__ import annotations

import socket

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit

from tracer.errors import InputError
from tracer.sources.sniff.program import (
    DEFAULT_EXPRESSION,
    LINK_ETHERNET,
    LINK_RAW,
    assembled,
    compiled,
    is_compiler_available,
    socket_program,
)

pytestmark = pytest.mark.skipif(not is_compiler_available(), reason="libpcap is not installed")
SO_ATTACH_FILTER = 26
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FOUR, SIX = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")

TAKEN = [head / body for head in (FOUR, SIX) for body in (
    TCP(flags="S"), TCP(flags="SA"), TCP(flags="FA"), TCP(flags="R"), UDP(dport=53), SCTP() / SCTPChunkInit(),
)] + [FOUR / ICMP(), SIX / ICMPv6EchoRequest(), SIX / IPv6ExtHdrDestOpt() / TCP(flags="A")]  # fmt: skip
LEFT = [head / body for head in (FOUR, SIX) for body in (
    TCP(flags="A"), TCP(flags="PA") / b"data", SCTP() / SCTPChunkData(data=b"data"),
)]  # fmt: skip


def passed(code, frames):
    """Which of the frames a socket with this filter receives."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        right.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, socket_program(code))
        right.setblocking(False)
        taken = []
        for number, frame in enumerate(frames):
            left.send(frame)
            try:
                right.recv(65536)
                taken.append(number)
            except BlockingIOError:
                continue
        return taken


@pytest.mark.parametrize("link", [LINK_ETHERNET, LINK_RAW])
def test_beginnings_and_ends_of_flows_are_taken(link):
    def framed(packets):
        return [bytes(ETHER / packet if link == LINK_ETHERNET else packet) for packet in packets]

    code = compiled(DEFAULT_EXPRESSION, link)
    assert passed(code, framed(TAKEN)) == list(range(len(TAKEN)))
    assert passed(code, framed(LEFT)) == []


def test_frames_without_ip_are_left():
    assert passed(compiled(DEFAULT_EXPRESSION, LINK_ETHERNET), [bytes(ETHER / ARP())]) == []


def test_a_frame_of_no_device_is_left_by_the_prologue():
    assert passed(assembled(None), [bytes(ETHER / FOUR / UDP())]) == []


def test_every_jump_of_the_prologue_lands_on_a_program():
    code = assembled(DEFAULT_EXPRESSION)
    ethernet = len(compiled(DEFAULT_EXPRESSION, LINK_ETHERNET))
    assert code[7 : 7 + ethernet] == compiled(DEFAULT_EXPRESSION, LINK_ETHERNET)
    assert code[7 + ethernet :] == compiled(DEFAULT_EXPRESSION, LINK_RAW)
    assert 6 + 1 + code[6][3] == 7 + ethernet


def test_an_expression_about_ethernet_matches_nothing_elsewhere():
    assert assembled("ether host 02:00:00:00:00:01")[-1] == (0x06, 0, 0, 0)


def test_a_wrong_expression_is_the_users_error():
    with pytest.raises(InputError, match="prot tcp"):
        assembled("prot tcp")
