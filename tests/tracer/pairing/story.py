"""Packets on their way past several capture points, and what a pairer tells of them."""

from __future__ import annotations

from tests.builders import join, packet
from tracer import address
from tracer.events import Protocol, Records
from tracer.pairing import Pairer

HOP = 0.00002


def way(seconds: float, *legs: tuple[str, str], ttl: int = 64, **fields) -> Records:
    """One packet seen under each of these tuples in turn, a router between every two."""
    fields.setdefault("ifindex", None)
    point = fields.pop("ifindex")
    return join(
        *(
            packet(
                seconds + hop * HOP,
                src,
                dst,
                ttl=ttl - hop,
                ifindex=point or 2 + hop,
                **fields,
            )
            for hop, (src, dst) in enumerate(legs)
        )
    )


def back(legs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The tuples of an answer."""
    return tuple((dst, src) for src, dst in reversed(legs))


def handshake(seconds: float, *legs: tuple[str, str], isn: int = 1000, **fields) -> Records:
    """SYN, SYN-ACK and ACK, each seen under every tuple."""
    answer = isn ^ 0x5A5A5A
    return join(
        way(seconds, *legs, tcp="S", seq=isn, **fields),
        way(seconds + 0.001, *back(legs), tcp="SA", seq=answer, ack=isn + 1, **fields),
        way(seconds + 0.002, *legs, tcp="A", seq=isn + 1, ack=answer + 1, **fields),
    )


def datagram(seconds: float, *legs: tuple[str, str], payload: int, **fields) -> Records:
    """A UDP packet; ``payload`` stands for its content."""
    fields.setdefault("detail", 40)
    return way(seconds, *legs, protocol=Protocol.UDP, cookie=payload, **fields)


def told(*batches: Records) -> list[tuple[str, str, str, str]]:
    """Client, virtual, source and backend of each translation told, in order of time."""
    return [ends(record) for record in told_records(*batches)]


def told_records(*batches: Records) -> Records:
    """The PAIRED records of a whole capture."""
    pairer = Pairer(seed=7)
    records = join(*(pairer.feed(batch) for batch in batches), pairer.finish())
    return records[records["time_ns"].argsort(kind="stable")]


def ends(record: Records) -> tuple[str, str, str, str]:
    return tuple(
        address.endpoint(record[side].tobytes(), int(record[f"{side}_port"]))
        for side in ("src", "dst", "nat_src", "nat_dst")
    )
