"""Packets that no client library sends: echo requests, and an answer out of its window."""

from __future__ import annotations

import socket
import struct
import time

ECHO_REQUEST = 8
ANY_PROTOCOL = 0x0003
ETHERNET_BYTES = 14
PATIENCE_S = 20.0
OUTSIDE = 50_000_000
"""Further than any window (at most 1 GiB, by default some MiB) that these sockets offer."""
ACK = 0x10


def ping(ip: str, count: int) -> None:
    """Echo requests to an IPv4 address; nobody waits for an answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as home:
        for number in range(1, count + 1):
            blank = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 4711, number)
            header = struct.pack("!BBHHH", ECHO_REQUEST, 0, checksum(blank), 4711, number)
            home.sendto(header, (ip, 0))
            time.sleep(0.5)


def answer_outside_the_window(port: int, question: int) -> None:
    """Wait in a pod for the n-th data to its port, and answer it with a sequence number far ahead.

    It acknowledges the data, so that a reset in answer to it hits the connection.
    """
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ANY_PROTOCOL)) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as mouth,
    ):
        ear.settimeout(PATIENCE_S)
        while True:
            packet = ear.recv(65535)[ETHERNET_BYTES:]
            asked = _data_to(packet, port)
            question -= asked is not None
            if asked is not None and question == 0:
                client, answer = asked
                mouth.sendto(answer, (socket.inet_ntoa(client), 0))
                return


def _data_to(packet: bytes, port: int) -> tuple[bytes, bytes] | None:
    """The client's address, and the answer to its data; None for every other packet."""
    if len(packet) < 40 or packet[0] != 0x45 or packet[9] != socket.IPPROTO_TCP:
        return None
    length = struct.unpack_from("!H", packet, 2)[0]
    source, target, seq, ack, offset = struct.unpack_from("!HHIIB", packet, 20)
    data = length - 20 - (offset >> 4) * 4
    if target != port or data <= 0:
        return None
    client, pod = packet[12:16], packet[16:20]
    far = (ack + OUTSIDE) & 0xFFFFFFFF
    fields = (port, source, far, (seq + data) & 0xFFFFFFFF, 5 << 4, ACK, 512)
    pseudo = pod + client + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20)
    blank = struct.pack("!HHIIBBHHH", *fields, 0, 0)
    segment = struct.pack("!HHIIBBHHH", *fields, checksum(pseudo + blank), 0)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0)
    return client, header + pod + client + segment


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
