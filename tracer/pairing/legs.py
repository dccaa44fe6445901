"""Passages turned to the client's side: its leg, and the leg after translation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, Flag, Hook, Protocol, Records, TcpFlag
from tracer.pairing.conversations import IDLE_NS, Conversations, Sequences
from tracer.pairing.evidence import Bits, Votes, bits_of, percent_of, same_client, undisputed
from tracer.pairing.requests import directions
from tracer.pairing.sightings import Passages
from tracer.pairing.traces import Ends, Mask, Rows, Times

_KEPT = ("family", "protocol", "netns", "ifindex")
_ODD = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class Legs:
    """Packets that show how a flow is translated, one a row; several may show the same."""

    found: Passages
    asks: Mask
    """Which came from the client; the others went to it, so the client's leg is the last."""
    client: Ends
    server: Ends
    sequences: Sequences
    """First sequence number of the client, 0 unknown or not TCP."""

    def __len__(self) -> int:
        return self.asks.size

    @classmethod
    def of(cls, found: Passages, conversations: Conversations) -> Legs:
        """Passages of which is known who asked."""
        asks, answers = directions(found, conversations)
        known = asks | answers
        if not known.all():
            rows = np.flatnonzero(known)
            found, asks = found.rows(rows), asks[rows]
        before, after = found.before.ends, found.after.ends
        client = before.where(asks, after.mirrored())
        server = after.where(asks, before.mirrored())
        return cls(found, asks, client, server, _sequences(found, client, server, conversations))

    def rows(self, rows: Rows) -> Legs:
        """Some of them."""
        return Legs(
            self.found.rows(rows),
            self.asks[rows],
            self.client.rows(rows),
            self.server.rows(rows),
            self.sequences[rows],
        )

    @property
    def times(self) -> Times:
        """When each packet was first seen."""
        return self.found.times

    def votes(self) -> Votes:
        """Each packet as evidence for its pair of conversations."""
        client, server = self.client.conversations, self.server.conversations
        return Votes(
            client + server,
            client < server,
            self.found.before.keys,
            same_client(self.found, self.asks),
            bits_of(self.found, self.asks),
        )

    def undisputed(self, rows: Rows) -> Rows:
        """Of these rows, one for each connection that has one translation and no other."""
        tcp = self.found.before.first["protocol"] == Protocol.TCP
        lives = np.where(tcp, self.sequences, self.times // IDLE_NS).astype(np.uint64) * _ODD
        for mine, others in ((self.client, self.server), (self.server, self.client)):
            legs = mine.conversations[rows] ^ lives[rows]
            hops, times = self.found.hops[rows], self.times[rows]
            rows = rows[undisputed(legs, others.conversations[rows], hops, times)]
        return rows

    def told(self, bits: Bits) -> Records:
        """PAIRED records, as sure as ``bits`` of evidence make them."""
        before, after = self.found.before.first, self.found.after.first
        told = np.zeros(len(self), dtype=EVENT)
        for name in _KEPT:
            told[name] = np.where(self.asks, before[name], after[name])
        for here, there in (("src", "dst"), ("dst", "src")):
            _set(told, here, self.asks, (before, here), (after, there))
            _set(told, f"nat_{here}", self.asks, (after, here), (before, there))
        told["hook"], told["flags"] = Hook.PAIRED, Flag.AFTER
        told["time_ns"], told["seq"] = self.times, self.sequences
        told["detail"] = percent_of(bits)
        return told


def _set(
    told: Records, name: str, asks: Mask, asked: tuple[Records, str], answered: tuple[Records, str]
) -> None:
    for suffix in ("", "_port"):
        columns = [records[f"{side}{suffix}"] for records, side in (asked, answered)]
        choice = asks if suffix else asks[:, None]
        told[f"{name}{suffix}"] = np.where(choice, *columns)


def _sequences(
    found: Passages, client: Ends, server: Ends, conversations: Conversations
) -> npt.NDArray[np.uint32]:
    """By the handshake itself; else as remembered from it, if both legs remember the same.

    One leg alone may remember a former connection on its ports.
    """
    records = found.before.first
    tcp = records["protocol"] == Protocol.TCP
    syn = tcp & (records["tcp_flags"] & TcpFlag.SYN != 0)
    answered = records["tcp_flags"] & TcpFlag.ACK != 0
    shown = np.where(answered, records["ack"] - np.uint32(1), records["seq"])
    remembered = conversations.sequences(client.conversations)
    sure = tcp & (remembered == conversations.sequences(server.conversations))
    return np.where(syn, shown, np.where(sure, remembered, 0)).astype(np.uint32)
