"""The vocabulary: one record for every observation, and the batch that carries records.

``EVENT`` is ``struct viptrace_event`` of ``probes/bpf/event.h``, byte for byte;
``tests/probes/test_layout.py`` compiles the header and compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import overload

import numpy as np
import numpy.typing as npt

from tracer.fields import Chosen, Fields

EVENT = np.dtype(
    [
        ("time_ns", "<i8"),
        ("cookie", "<u8"),
        ("netns", "<u4"),
        ("ifindex", "<u4"),
        ("hook", "<u2"),
        ("flags", "<u2"),
        ("family", "u1"),
        ("protocol", "u1"),
        ("tcp_flags", "u1"),
        ("ttl", "u1"),
        ("src", "<u8", (2,)),
        ("dst", "<u8", (2,)),
        ("nat_src", "<u8", (2,)),
        ("nat_dst", "<u8", (2,)),
        ("src_port", ">u2"),
        ("dst_port", ">u2"),
        ("nat_src_port", ">u2"),
        ("nat_dst_port", ">u2"),
        ("length", "<u4"),
        ("seq", "<u4"),
        ("ack", "<u4"),
        ("ip_id", "<u2"),
        ("reason", "<u2"),
        ("detail", "<u8"),
    ]
)
"""Times are wall-clock nanoseconds once a record is in an :class:`EventBatch`."""

_ROW = np.dtype(f"V{EVENT.itemsize}")

EventRows = npt.NDArray[np.void]
"""Shape (n,), dtype ``EVENT``."""

Records = EventRows | Fields
"""Rows of ``EVENT``, or the same field by field, as packets come in bulk."""


class Hook(IntEnum):
    """What was observed; the numbers are ``enum viptrace_hook``."""

    NONE = 0
    PACKET = 1
    IPVS_NEW = 2
    IPVS_NO_DEST = 3
    IPVS_FAILED = 4
    IPVS_SENT = 5
    IPVS_REPLY = 6
    IPVS_END = 7
    NAT_DECIDED = 8
    CT_NEW = 9
    CT_UPDATE = 10
    CT_FAILED = 11
    CT_FULL = 12
    CT_END = 13
    VERDICT = 14
    TABLE = 15
    ICMP_SENT = 16
    RST_SENT = 17
    DROP = 18
    LOCAL_IN = 19
    FORWARD = 20
    IPVS_NO_ROUTE = 21
    PAIRED = 22


def membership(*hooks: Hook) -> npt.NDArray[np.bool_]:
    """A table by hook number: ``table[records["hook"]]`` is far cheaper than ``isin``."""
    table = np.zeros(1 << 16, dtype=np.bool_)
    table[list(hooks)] = True
    return table


class Flag(IntFlag):
    """Qualities of one record; the numbers are ``enum viptrace_flag``."""

    AFTER = 0x0001
    REPLIED = 0x0002
    ASSURED = 0x0004
    SRC_NAT = 0x0008
    DST_NAT = 0x0010
    QUOTED = 0x0020
    SNAPPED = 0x0040
    FRAGMENT = 0x0080
    OUTGOING = 0x0100
    IPTABLES = 0x0200
    NFTABLES = 0x0400
    IPVS = 0x0800
    EXISTING = 0x1000
    LOOPBACK = 0x2000
    TUNNELLED = 0x4000


class Tunnel(IntEnum):
    """What carried a packet to where it was captured.

    A TUNNELLED record has the number in ``reason``, both ends of the tunnel in ``nat_src`` and
    ``nat_dst``, and the network identifier or key, 32 bits, in their ports, high half first.
    """

    NONE = 0
    IPIP = 1
    GRE = 2
    VXLAN = 3
    GENEVE = 4
    UDP = 5


TUNNEL_NAMES: Mapping[int, str] = {
    Tunnel.IPIP: "ipip",
    Tunnel.GRE: "gre",
    Tunnel.VXLAN: "vxlan",
    Tunnel.GENEVE: "geneve",
    Tunnel.UDP: "udp",
}


class TcpFlag(IntFlag):
    """TCP header flags as in RFC 9293."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20


class Protocol(IntEnum):
    """IP protocol numbers that carry Service traffic, and the two that refuse it."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132


PROTOCOL_NAMES: Mapping[int, str] = {
    Protocol.ICMP: "icmp",
    Protocol.TCP: "tcp",
    Protocol.UDP: "udp",
    Protocol.ICMPV6: "icmpv6",
    Protocol.SCTP: "sctp",
}


class Origin(IntFlag):
    """Which kind of witness a record or a flow comes from."""

    KERNEL = 1
    CONNTRACK = 2
    PACKETS = 4


@dataclass(frozen=True, slots=True)
class Loss:
    """Records that never arrived, by where they were lost."""

    kernel: int = 0
    """Ring or perf buffer reservations that failed."""
    socket: int = 0
    """Packets or netlink messages the kernel dropped before the socket was read."""
    queue: int = 0
    """Records of whole batches discarded because the pipeline was behind."""

    def __add__(self, other: Loss) -> Loss:
        return Loss(
            self.kernel + other.kernel, self.socket + other.socket, self.queue + other.queue
        )

    def __bool__(self) -> bool:
        return bool(self.kernel or self.socket or self.queue)

    @property
    def total(self) -> int:
        """All records lost, wherever."""
        return self.kernel + self.socket + self.queue


@dataclass(frozen=True, slots=True)
class PacketBytes:
    """The bytes behind the PACKET records of a batch, for recording and dissection."""

    data: npt.NDArray[np.uint8]
    """Shape (total,): captured bytes of all packets, one after the other."""
    starts: npt.NDArray[np.int64]
    """Shape (n + 1,): packet i is ``data[starts[i]:starts[i + 1]]``; row i of the records."""
    wire_lengths: npt.NDArray[np.uint32]
    """Shape (n,): length on the wire."""
    link_types: npt.NDArray[np.uint16]
    """Shape (n,): libpcap LINKTYPE number of each packet."""

    def packet(self, row: int) -> bytes:
        """The captured bytes of one packet."""
        return self.data[self.starts[row] : self.starts[row + 1]].tobytes()


def no_records() -> EventRows:
    """An empty record array."""
    return np.zeros(0, dtype=EVENT)


def as_rows(records: Records) -> EventRows:
    """The records as one array, whatever they came as."""
    return records.structured() if isinstance(records, Fields) else records


@overload
def picked(records: EventRows, rows: Chosen) -> EventRows: ...
@overload
def picked(records: Records, rows: Chosen) -> Records: ...
def picked(records: Records, rows: Chosen) -> Records:
    """``records[rows]``, rows by number or mask; whole rows at once are 30 times as fast."""
    if isinstance(records, Fields):
        return records.rows(rows)
    # NumPy may have turned the ports to native byte order on the way, when it concatenates.
    return np.asarray(records, dtype=EVENT).view(_ROW)[rows].view(EVENT)


@overload
def stacked(parts: Sequence[EventRows]) -> EventRows: ...
@overload
def stacked(parts: Sequence[Records]) -> Records: ...
def stacked(parts: Sequence[Records]) -> Records:
    """Records one after the other: field by field if all are, else in ``EVENT``'s layout.

    ``np.concatenate`` alone would turn the ports to native byte order without being asked.
    """
    fields = [part for part in parts if isinstance(part, Fields)]
    if fields and all(isinstance(part, Fields) or not len(part) for part in parts):
        return Fields.joined(fields)
    if not parts:
        return no_records()
    rows = [np.ascontiguousarray(as_rows(part), dtype=EVENT).view(_ROW) for part in parts]
    return np.concatenate(rows).view(EVENT)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What one source saw since its last batch; an empty one still carries time and loss."""

    records: Records
    origin: Origin
    until_ns: int
    """How far this source's clock has come: nothing earlier will follow from it.

    0 for records that were asked for, which say nothing about time.
    """
    lost: Loss = Loss()
    damaged: int = 0
    """Places in the input that could not be read and were skipped."""
    texts: Mapping[int, str] = field(default_factory=dict)
    """Meaning of the text ids in ``reason`` and ``detail``, as far as new in this batch."""
    interfaces: Mapping[int, str] = field(default_factory=dict)
    """Names of interface indexes, as far as new in this batch."""
    packets: PacketBytes | None = None
    """Bytes of the PACKET records; then records are all PACKET rows in the same order."""
    pairs: Records | None = None
    """Translations that the packets up to here tell; None where nobody has looked yet."""

    @property
    def rows(self) -> EventRows:
        """The records as one array; a copy of packets that came in bulk."""
        return as_rows(self.records)


def merged(batches: Sequence[EventBatch]) -> EventBatch:
    """Batches of one source, in order, as one."""
    if len(batches) == 1:
        return batches[0]
    texts: dict[int, str] = {}
    interfaces: dict[int, str] = {}
    for batch in batches:
        texts.update(batch.texts)
        interfaces.update(batch.interfaces)
    packets = [batch.packets for batch in batches if batch.packets is not None]
    return EventBatch(
        stacked([batch.records for batch in batches]),
        batches[-1].origin,
        max(batch.until_ns for batch in batches),
        sum((batch.lost for batch in batches), Loss()),
        sum(batch.damaged for batch in batches),
        texts,
        interfaces,
        _merged_packets(packets) if packets else None,
    )


def _merged_packets(parts: Sequence[PacketBytes]) -> PacketBytes:
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return PacketBytes(
        np.concatenate([part.data[part.starts[0] : part.starts[-1]] for part in parts]),
        np.concatenate(([0], np.cumsum(sizes))),
        np.concatenate([part.wire_lengths for part in parts]),
        np.concatenate([part.link_types for part in parts]),
    )
