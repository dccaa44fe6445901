"""Which conversations are explained already, in a table of fixed size.

Two conversations that share a slot only forget each other: what is forgotten is looked
at again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol, Records, TcpFlag
from tracer.pairing.traces import Ends, Hashes, Mask, Rows, Times

Sequences = npt.NDArray[np.uint32]

MAX_TRIES = 24
"""Packets of one conversation that are looked at without finding another tuple of them."""
IDLE_NS = 20_000_000_000
"""Silence, or certainty, after which a conversation without handshake may be another one:
below conntrack's 30 s for UDP without reply."""


class _Known(IntFlag):
    SETTLED = 1
    CLIENT_LOW = 2
    CLIENT_HIGH = 4
    HANDSHAKE = 8
    ROLE = CLIENT_LOW | CLIENT_HIGH


@dataclass(frozen=True, slots=True)
class Visit:
    """What of a batch is worth a look."""

    early: Rows
    """First SYNs, and all packets of protocols that have none."""
    late: Rows
    """Other TCP packets, should the SYN not explain them."""


class Conversations:
    """State of each conversation that was seen lately."""

    def __init__(self, slots: int = 1 << 19) -> None:
        """``slots`` is a power of two."""
        self._mask = np.uint64(slots - 1)
        self._tags = np.zeros(slots, dtype=np.uint64)
        self._known = np.zeros(slots, dtype=np.uint8)
        self._tries = np.zeros(slots, dtype=np.uint16)
        self._sequence = np.zeros(slots, dtype=np.uint32)
        self._since_ns = np.zeros(slots, dtype=np.int64)

    def visit(self, records: Records, ends: Ends) -> Visit:
        """Take notice of packets; which of them still have to be explained."""
        slots = ends.conversations & self._mask
        mine = self._meet(slots, ends.conversations)
        tcp = records["protocol"] == Protocol.TCP
        flags = records["tcp_flags"]
        handshake = tcp & (flags & np.uint8(TcpFlag.SYN) != 0)
        self._begin(records, ends, np.flatnonzero(handshake & mine))
        self._expire(slots, records["time_ns"], np.flatnonzero(~tcp))
        due = ~mine | (self._known[slots] & np.uint8(_Known.SETTLED) == 0)
        late = due & tcp & ~(handshake & (flags & np.uint8(TcpFlag.ACK) == 0))
        early = np.flatnonzero(due ^ late)
        early = self.tried(early, ends.conversations[early])
        return Visit(early, np.flatnonzero(late))

    def tried(self, rows: Rows, conversations: Hashes) -> Rows:
        """Those of ``rows`` whose conversations may be tried once more."""
        slots = conversations & self._mask
        allowed = self._tries[slots] < MAX_TRIES
        np.add.at(self._tries, slots[allowed], np.uint16(1))
        return rows[allowed]

    def settled(self, conversations: Hashes) -> Mask:
        """Which of them are explained, as they are now."""
        slots = conversations & self._mask
        return (self._tags[slots] == conversations) & (self._known[slots] & _Known.SETTLED != 0)

    def explained(self, conversations: Hashes, sequences: Sequences, times: Times) -> Mask:
        """Which of them are explained as they were: since a handshake, else for a while."""
        since_ns = self._since_ns[conversations & self._mask]
        recent = (sequences != 0) | (np.abs(times - since_ns) <= IDLE_NS)
        return self.settled(conversations) & self._go_on(conversations, sequences) & recent

    def settle(self, conversations: Hashes, sequences: Sequences, times: Times) -> None:
        """They are explained, unless they have begun anew meanwhile."""
        same = self._go_on(conversations, sequences)
        slots = conversations[same] & self._mask
        self._known[slots] |= np.uint8(_Known.SETTLED)
        self._since_ns[slots] = times[same]

    def _go_on(self, conversations: Hashes, sequences: Sequences) -> Mask:
        """Nothing is known of another connection on the same ports."""
        slots = conversations & self._mask
        vague = (sequences == 0) | (self._known[slots] & _Known.HANDSHAKE == 0)
        same = vague | (self._sequence[slots] == sequences)
        return same & (self._tags[slots] == conversations)

    def sequences(self, conversations: Hashes) -> Sequences:
        """First sequence number of the client, 0 unknown."""
        slots = conversations & self._mask
        mine = self._tags[slots] == conversations
        return np.where(mine, self._sequence[slots], 0).astype(np.uint32)

    def asks(self, ends: Ends) -> tuple[Mask, Mask]:
        """Packets from the client, and packets to it, as far as its handshake was seen."""
        slots = ends.conversations & self._mask
        mine = self._tags[slots] == ends.conversations
        known = np.where(mine, self._known[slots], 0)
        low, high = known & _Known.CLIENT_LOW != 0, known & _Known.CLIENT_HIGH != 0
        forward = ends.forward
        return np.where(forward, low, high), np.where(forward, high, low)

    def _meet(self, slots: Hashes, conversations: Hashes) -> Mask:
        """Give slots to those that have none; of several in one slot one has it in the end."""
        new = np.flatnonzero(self._tags[slots] != conversations)
        where = slots[new]
        self._tags[where] = conversations[new]
        self._known[where] = 0
        self._tries[where] = 0
        self._sequence[where] = 0
        return self._tags[slots] == conversations

    def _begin(self, records: Records, ends: Ends, rows: Rows) -> None:
        """A handshake with another first sequence number is another connection."""
        if not rows.size:
            return
        ends = ends.rows(rows)
        slots = ends.conversations & self._mask
        answer = records["tcp_flags"][rows] & TcpFlag.ACK != 0
        first = np.where(answer, records["ack"][rows] - np.uint32(1), records["seq"][rows])
        new = (self._known[slots] & _Known.HANDSHAKE == 0) | (self._sequence[slots] != first)
        client_low = ends.forward != answer
        role = np.where(client_low, _Known.CLIENT_LOW, _Known.CLIENT_HIGH) | _Known.HANDSHAKE
        where = slots[new]
        self._known[where] = role[new]
        self._tries[where] = 0
        self._sequence[where] = first[new]

    def _expire(self, slots: Hashes, times: Times, rows: Rows) -> None:
        """Without handshakes, look again from time to time."""
        if not rows.size:
            return
        slots, times = slots[rows], times[rows]
        old = times - self._since_ns[slots] > IDLE_NS
        where = slots[old]
        self._known[where] = 0
        self._tries[where] = 0
        self._since_ns[where] = times[old]
