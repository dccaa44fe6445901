"""Traces: packets with what translation leaves of them, as columns."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn
from tracer.events import Protocol, Records, TcpFlag, no_records, picked, stacked

Hashes = npt.NDArray[np.uint64]
Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

_GOLDEN = 0x9E3779B97F4A7C15
_HALF = np.uint64(32)
_COMPARED_FLAGS = TcpFlag.SYN | TcpFlag.ACK | TcpFlag.FIN | TcpFlag.PSH
"""Routers may set the congestion bits on the way."""


_ICMP = np.zeros(256, dtype=np.bool_)
_ICMP[[Protocol.ICMP, Protocol.ICMPV6]] = True


def runs(changes: Mask) -> tuple[Rows, Rows]:
    """Where runs of a non-empty column begin and how long they are; ``changes`` within it."""
    begins = np.zeros(np.count_nonzero(changes) + 1, dtype=np.intp)
    begins[1:] = np.flatnonzero(changes) + 1
    sizes = np.empty_like(begins)
    sizes[:-1] = begins[1:]
    sizes[-1] = changes.size + 1
    return begins, sizes - begins


def is_icmp(records: Records) -> Mask:
    """Echoes, whose two "ports" are one identifier."""
    return _ICMP[records["protocol"]]


@dataclass(frozen=True, slots=True)
class Ends:
    """Hashes of who speaks: one for each side of a packet, and one for the conversation."""

    sources: Hashes
    """Address and port; of an echo the address alone, since translation may change its id."""
    destinations: Hashes
    conversations: Hashes
    """The same in both directions."""

    def rows(self, rows: Rows) -> Ends:
        """Some of them."""
        return Ends(self.sources[rows], self.destinations[rows], self.conversations[rows])

    def mirrored(self) -> Ends:
        """The same as an answer carries them."""
        return Ends(self.destinations, self.sources, self.conversations)

    def where(self, chosen: Mask, others: Ends) -> Ends:
        """Row by row these, where ``chosen``, or the others."""
        return Ends(
            np.where(chosen, self.sources, others.sources),
            np.where(chosen, self.destinations, others.destinations),
            np.where(chosen, self.conversations, others.conversations),
        )

    @property
    def forward(self) -> Mask:
        """Which of a conversation's two directions each is; which one means nothing."""
        return self.sources < self.destinations


@dataclass(frozen=True, slots=True)
class Traces:
    """Packets that may have another tuple elsewhere."""

    times: Times
    keys: Hashes
    """Equal for every sight of one packet, translated or not."""
    ends: Ends
    records: Records

    def __len__(self) -> int:
        return self.times.size

    def rows(self, rows: Rows) -> Traces:
        """Some of them, or all in another order."""
        return Traces(
            self.times[rows], self.keys[rows], self.ends.rows(rows), picked(self.records, rows)
        )


def no_traces() -> Traces:
    """None."""
    empty = np.zeros(0, dtype=np.uint64)
    return Traces(np.zeros(0, np.int64), empty, Ends(empty, empty, empty), no_records())


def joined(parts: Sequence[Traces]) -> Traces:
    """Traces one after the other."""
    return Traces(
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.keys for part in parts]),
        Ends(
            np.concatenate([part.ends.sources for part in parts]),
            np.concatenate([part.ends.destinations for part in parts]),
            np.concatenate([part.ends.conversations for part in parts]),
        ),
        stacked([part.records for part in parts]),
    )


class Tracer:
    """Hashes records; the seed is drawn once a run, for tenants choose their packets."""

    def __init__(self, seed: int | None = None) -> None:
        base = secrets.randbits(64) if seed is None else seed
        self._seed = np.uint64(base)
        self._factors = [
            np.uint64((_GOLDEN * (2 * step + 1) ^ base << 1) & (2**64 - 1) | 1) for step in range(5)
        ]

    def ends(self, records: Records) -> Ends:
        """Who speaks to whom in each packet."""
        echo = is_icmp(records)
        src_port = records["src_port"].astype(np.uint64)
        dst_port = records["dst_port"].astype(np.uint64)
        sources = self._end(records["src"], np.where(echo, np.uint64(0), src_port))
        destinations = self._end(records["dst"], np.where(echo, np.uint64(0), dst_port))
        identity = np.where(echo, src_port, np.uint64(0)) << np.uint64(8) | records["protocol"]
        identity |= records["netns"].astype(np.uint64) << _HALF
        both = self._mixed((sources + destinations, identity))
        return Ends(sources, destinations, both)

    def traces(self, records: Records, ends: Ends) -> Traces:
        """What stays of each packet through translation."""
        tcp = records["protocol"] == Protocol.TCP
        kind = records["protocol"].astype(np.uint64) << np.uint64(8) | records["family"]
        kind |= (records["tcp_flags"] & np.uint8(_COMPARED_FLAGS)).astype(np.uint64) << np.uint64(
            16
        )
        kind |= records["ip_id"].astype(np.uint64) << _HALF
        size = np.where(tcp, np.uint64(0), records["length"]) << _HALF | records["detail"]
        sequence = records["seq"].astype(np.uint64) << _HALF | records["ack"]
        keys = self._mixed((kind, sequence, size, records["cookie"]))
        return Traces(records["time_ns"].copy(), keys, ends, records)

    def _end(self, addresses: AddressColumn, ports: Hashes) -> Hashes:
        return self._mixed((addresses[:, 0], addresses[:, 1], ports))

    def _mixed(self, words: Sequence[Hashes]) -> Hashes:
        mixed = np.full(words[0].size, self._seed, dtype=np.uint64)
        for word, factor in zip(words, self._factors, strict=False):
            mixed ^= word
            mixed *= factor
            mixed ^= mixed >> _HALF
        return mixed
