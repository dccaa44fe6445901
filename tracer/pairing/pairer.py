"""Packets in, translations out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer.events import Flag, Hook, Protocol, Records, TcpFlag, no_records, picked, stacked
from tracer.pairing.conversations import Conversations
from tracer.pairing.evidence import ENOUGH_BITS, Ballot
from tracer.pairing.legs import Legs
from tracer.pairing.sightings import passages
from tracer.pairing.traces import Ends, Mask, Rows, Tracer
from tracer.pairing.window import MAX_TRACES, Groups, Window

WINDOW_NS = 50_000_000
"""The farthest apart that two sights of one packet are, clocks that disagree included."""

_CHUNK = 16_384
"""Packets hashed at once: the columns in use stay in the processor's caches."""
_STEP = 65_536
"""Packets that are judged together at most."""
_TRACED = np.zeros(256, dtype=np.bool_)
_TRACED[[Protocol.TCP, Protocol.UDP, Protocol.SCTP, Protocol.ICMP, Protocol.ICMPV6]] = True
_UNUSABLE = np.uint16(Flag.QUOTED | Flag.FRAGMENT | Flag.SNAPPED)
_END = 1 << 62


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Packets behind the SYN, where they lie."""

    packets: Records
    ends: Ends
    rows: Rows

    def split(self, until_ns: int) -> tuple[_Waiting, _Waiting]:
        """Those of this time and earlier, and the others."""
        late = self.packets["time_ns"][self.rows] > until_ns
        return (
            _Waiting(self.packets, self.ends, self.rows[~late]),
            _Waiting(self.packets, self.ends, self.rows[late]),
        )


class Pairer:
    """Finds the legs of translated flows; owned by one thread, bounded in memory.

    A translation comes as a PAIRED record once ``window_ns`` has passed after its packet:
    the client's tuple, in ``nat_`` the tuple after the last translation seen, the client's
    first sequence number in ``seq`` (0 unknown) and in ``detail`` how sure it is, in percent.
    """

    def __init__(self, window_ns: int = WINDOW_NS, seed: int | None = None) -> None:
        self._tracer = Tracer(seed)
        self._window_ns = window_ns
        self._conversations = Conversations()
        self._ballot = Ballot()
        self._early, self._late = Window(window_ns), Window(window_ns)
        self._waiting: list[_Waiting] = []
        self._judged_ns = 0
        self._unjudged = 0

    def feed(self, records: Records, until_ns: int = 0) -> Records:
        """Take records in about their order of time; the translations known by now.

        ``until_ns`` tells that nothing earlier will follow, where no record is that late.
        The records must not change afterwards: they are kept for a window, not copied.
        """
        told: list[Records] = []
        for first in range(0, len(records), _STEP):
            step = records[first : first + _STEP]
            for at in range(0, len(step), _CHUNK):
                self._visit(_usable(step[at : at + _CHUNK]))
            self._unjudged += len(step)
            told.append(self._advance(int(step["time_ns"].max())))
        if until_ns:
            told.append(self._advance(until_ns))
        return stacked(told)

    def finish(self) -> Records:
        """End of input: the translations that waited for more packets."""
        return self._told(_END)

    @property
    def held(self) -> int:
        """Packets kept for others to come; a few times ``MAX_TRACES`` at most."""
        waiting = sum(each.rows.size for each in self._waiting)
        return len(self._early) + len(self._late) + waiting

    def _visit(self, packets: Records) -> None:
        ends = self._tracer.ends(packets)
        visit = self._conversations.visit(packets, ends)
        self._early.add(self._tracer.traces(picked(packets, visit.early), ends.rows(visit.early)))
        if visit.late.size:
            self._waiting.append(_Waiting(packets, ends, visit.late))

    def _advance(self, until_ns: int) -> Records:
        """Judge once a window, not once a batch."""
        since_ns = until_ns - self._judged_ns
        if 0 <= since_ns < self._window_ns and self._unjudged < _STEP:
            return no_records()
        self._judged_ns, self._unjudged = until_ns, 0
        return self._told(until_ns)

    def _told(self, until_ns: int) -> Records:
        """Judge what is complete by ``until_ns``: SYNs, a window later what follows them."""
        first = self._judged(self._early.take(until_ns))
        behind_ns = until_ns - self._window_ns if until_ns < _END else _END
        self._release(behind_ns)
        return stacked([first, self._judged(self._late.take(behind_ns))])

    def _release(self, until_ns: int) -> None:
        """Turn to packets behind the SYN where the SYN has explained nothing."""
        if sum(each.rows.size for each in self._waiting) > MAX_TRACES:
            until_ns = _END
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            due, rest = each.split(until_ns)
            settled = self._conversations.settled(due.ends.conversations[due.rows])
            rows = due.rows[~settled]
            rows = self._conversations.tried(rows, due.ends.conversations[rows])
            if rows.size:
                packets = picked(due.packets, rows)
                self._late.add(self._tracer.traces(packets, due.ends.rows(rows)))
            if rest.rows.size:
                self._waiting.append(rest)

    def _judged(self, groups: Groups) -> Records:
        """The translations that packets under several tuples prove."""
        told = []
        for found in passages(groups):
            legs = Legs.of(found, self._conversations)
            if len(legs):
                told.append(self._believed(legs))
        return stacked(told)

    def _believed(self, legs: Legs) -> Records:
        """Those with enough evidence for one translation and none for another."""
        bits = self._ballot.count(legs.votes())
        rows = np.flatnonzero((bits >= ENOUGH_BITS) & ~self._explained(legs))
        rows = legs.undisputed(rows)
        legs = legs.rows(rows)
        for each in (legs.client.conversations, legs.found.between, legs.server.conversations):
            self._conversations.settle(each, legs.sequences, legs.times)
        return legs.told(bits[rows])

    def _explained(self, legs: Legs) -> Mask:
        """One of the two legs has been told of already."""
        explained = self._conversations.explained
        client, server = legs.client.conversations, legs.server.conversations
        return explained(client, legs.sequences, legs.times) | explained(
            server, legs.sequences, legs.times
        )


def _usable(records: Records) -> Records:
    """Whole packets of protocols that are translated; resets may be anybody's."""
    good = (records["hook"] == Hook.PACKET) & _TRACED[records["protocol"]]
    good &= (records["flags"] & _UNUSABLE) == 0
    good &= (records["tcp_flags"] & np.uint8(TcpFlag.RST)) == 0
    return records if good.all() else picked(records, np.flatnonzero(good))
