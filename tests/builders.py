"""Complete records from a few words, so that tests read as stories."""

from __future__ import annotations

import numpy as np

from tracer import address
from tracer.events import (
    EVENT,
    EventBatch,
    Flag,
    Hook,
    Loss,
    Origin,
    Protocol,
    Records,
    TcpFlag,
    stacked,
)

NOTHING_LOST = Loss()
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
"""Wall-clock origin of every story."""


def at(seconds: float) -> int:
    """Record time this many seconds into the story."""
    return START + round(seconds * SECOND)


def _end(text: str) -> tuple[bytes, int]:
    host, _, port = text.rpartition(":")
    return address.parse(host.strip("[]")), int(port)


def record(hook: Hook, seconds: float, src: str, dst: str, **fields) -> Records:
    """One record: addresses as ``ip:port``; ``nat=("ip:port", "ip:port")`` is the tuple after."""
    made = np.zeros(1, dtype=EVENT)
    made["time_ns"], made["hook"] = at(seconds), hook
    made["protocol"] = fields.pop("protocol", Protocol.TCP)
    for side, text in (("src", src), ("dst", dst)):
        packed, port = _end(text)
        made[side], made[f"{side}_port"] = np.frombuffer(packed, "<u8"), port
    made["family"] = 2 if address.is_ipv4(_end(src)[0]) else 10
    nat = fields.pop("nat", None)
    if nat:
        for side, text in zip(("nat_src", "nat_dst"), nat, strict=True):
            packed, port = _end(text)
            made[side], made[f"{side}_port"] = np.frombuffer(packed, "<u8"), port
        fields["flags"] = fields.get("flags", 0) | Flag.AFTER
    for name, value in fields.items():
        made[name] = value
    return made


def mapping(seconds: float, client: str, virtual: str, backend: str, **fields) -> Records:
    """A confirmed conntrack mapping; ``source=`` is the address after SNAT."""
    source = fields.pop("source", client)
    hook = fields.pop("hook", Hook.CT_NEW)
    flags = fields.pop("flags", Flag.DST_NAT)
    return record(hook, seconds, client, virtual, nat=(source, backend), flags=flags, **fields)


def packet(seconds: float, src: str, dst: str, tcp: str = "", **fields) -> Records:
    """A packet on interface 2; ``tcp`` are flag letters such as ``SA``."""
    letters = {"S": TcpFlag.SYN, "A": TcpFlag.ACK, "F": TcpFlag.FIN, "R": TcpFlag.RST}
    flags = sum(letters[letter] for letter in tcp)
    fields.setdefault("ifindex", 2)
    fields.setdefault("length", 60)
    if tcp and "seq" not in fields and tcp in ("S", "SA"):
        fields["seq"] = 1000
    return record(Hook.PACKET, seconds, src, dst, tcp_flags=flags, **fields)


def join(*records: Records) -> Records:
    """Records one after the other."""
    return stacked(records)


def batch(
    *records: Records,
    until: float = 0.0,
    origin: Origin = Origin.KERNEL,
    lost: Loss = NOTHING_LOST,
    **more,
) -> EventBatch:
    """A batch whose source has come ``until`` so many seconds."""
    rows = join(*records) if records else np.zeros(0, dtype=EVENT)
    return EventBatch(rows, origin, at(until), lost, **more)
