"""How little of a chance it can be that two packets look like one, in bits.

A random number of n bits that agrees is worth about n; what senders choose alike
(payloads, timestamps, ports) is worth less than its size. A translation is believed
from ``ENOUGH_BITS`` on, of one packet or of several that are not copies of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol, Records, TcpFlag
from tracer.index import together
from tracer.pairing.sightings import Passages
from tracer.pairing.traces import Hashes, Mask, Rows, Times, is_icmp, runs

ENOUGH_BITS = 52
_SURE_BITS = 96
_LEAST_PERCENT, _MOST_PERCENT = 90, 99

_SEQUENCE, _IP_ID, _TIMESTAMP, _PAYLOAD, _SHORT_PAYLOAD = 32, 16, 24, 24, 8
_SHORT_BYTES = 8
_SAME_CLIENT, _SAME_SERVER, _SAME_PORT = 20, 8, 12
_TTL_FALLS, _CLOCK_ONLY = 4, -24
_FORWARD, _BACKWARD = 1, 2
_FULL = 1 << 20
_AMBIGUOUS_AT_MOST = 24
"""Worth of what is alike in packets of one key that are not all one packet."""

Bits = npt.NDArray[np.int64]


def bits_of(found: Passages, asks: Mask) -> Bits:
    """Worth of each passage as evidence that its tuples are one flow.

    ``asks`` are those on their way from the client, the others on their way to it.
    """
    alike = _alike(found.before.first)
    alike = np.where(found.unique, alike, np.minimum(alike, _AMBIGUOUS_AT_MOST))
    order = np.where(found.proven, _TTL_FALLS, _CLOCK_ONLY)
    return alike + _shared(found, asks) + order


def percent_of(bits: Bits) -> npt.NDArray[np.int64]:
    """How sure so much evidence is."""
    span = _MOST_PERCENT - _LEAST_PERCENT
    sure = _LEAST_PERCENT + (bits - ENOUGH_BITS) * span // (_SURE_BITS - ENOUGH_BITS)
    return np.clip(sure, _LEAST_PERCENT, _MOST_PERCENT)


def same_client(found: Passages, asks: Mask) -> Mask:
    """Only the server's end was translated."""
    source, destination = _same_ends(found)
    return np.where(asks, source, destination)


def _same_ends(found: Passages) -> tuple[Mask, Mask]:
    before, after = found.before.ends, found.after.ends
    return before.sources == after.sources, before.destinations == after.destinations


def _alike(records: Records) -> Bits:
    """Worth of the fields that both sightings of a packet have in common."""
    tcp = records["protocol"] == Protocol.TCP
    asks = tcp & (records["tcp_flags"] & TcpFlag.ACK == 0)
    told = records["cookie"] != 0
    short = ~is_icmp(records) & (records["detail"] < _SHORT_BYTES)
    payload = np.where(short, _SHORT_PAYLOAD, _PAYLOAD)
    handshake = _SEQUENCE + np.where(asks, _TIMESTAMP * told, _SEQUENCE)
    return np.where(tcp, handshake, payload * told) + _IP_ID * (records["ip_id"] != 0)


def _shared(found: Passages, asks: Mask) -> Bits:
    """Worth of what the translation left alone in the tuple."""
    source, destination = _same_ends(found)
    client, server = np.where(asks, source, destination), np.where(asks, destination, source)
    before, after = found.before.first, found.after.first
    port = np.where(
        asks,
        before["src_port"] == after["src_port"],
        before["dst_port"] == after["dst_port"],
    )
    port &= ~client & ~is_icmp(before)
    return _SAME_CLIENT * client + _SAME_SERVER * server + _SAME_PORT * port


@dataclass(frozen=True, slots=True)
class Votes:
    """What single packets say about pairs of conversations."""

    pairs: Hashes
    """The same for two conversations whichever comes first."""
    forward: Mask
    """Which of the two is the client's; which one means nothing."""
    keys: Hashes
    repeats: Mask
    """A packet with the same key counts once more: its client was not translated."""
    bits: Bits


class Ballot:
    """Counts votes across batches, in a table of fixed size that forgets on collision."""

    def __init__(self, slots: int = 1 << 16) -> None:
        """``slots`` is a power of two."""
        self._mask = np.uint64(slots - 1)
        self._tags = np.zeros(slots, dtype=np.uint64)
        self._bits = np.zeros(slots, dtype=np.int64)
        self._ways = np.zeros(slots, dtype=np.uint8)
        self._keys = np.zeros(slots, dtype=np.uint64)

    def count(self, votes: Votes) -> Bits:
        """Bits for the pair of each vote by now, 0 while its votes contradict each other."""
        order = _by_pair(votes)
        pairs, keys = votes.pairs[order], votes.keys[order]
        begins, sizes = runs(pairs[1:] != pairs[:-1])
        old_bits, old_ways, old_keys = self._recall(pairs[begins])
        copies = np.zeros(order.size, dtype=np.bool_)
        copies[1:] = (pairs[1:] == pairs[:-1]) & (keys[1:] == keys[:-1])
        copies[begins] |= old_keys == keys[begins]
        worth = np.where(copies & ~votes.repeats[order], 0, votes.bits[order])
        bits = old_bits + np.add.reduceat(worth, begins)
        way = np.where(votes.forward[order], np.uint8(_FORWARD), np.uint8(_BACKWARD))
        ways = old_ways | np.bitwise_or.reduceat(way, begins)
        self._keep(pairs[begins], bits, ways, keys[begins])
        result = np.empty(order.size, dtype=np.int64)
        result[order] = np.repeat(np.where(ways == _FORWARD | _BACKWARD, 0, bits), sizes)
        return result

    def _recall(self, pairs: Hashes) -> tuple[Bits, npt.NDArray[np.uint8], Hashes]:
        slots = pairs & self._mask
        known = self._tags[slots] == pairs
        return (
            np.where(known, self._bits[slots], 0),
            np.where(known, self._ways[slots], 0).astype(np.uint8),
            np.where(known, self._keys[slots], np.uint64(0)),
        )

    def _keep(self, pairs: Hashes, bits: Bits, ways: npt.NDArray[np.uint8], keys: Hashes) -> None:
        """Of distinct pairs that share a slot, one stays."""
        self._tags[pairs & self._mask] = pairs
        mine = self._tags[pairs & self._mask] == pairs
        slots = pairs[mine] & self._mask
        self._bits[slots], self._ways[slots] = np.minimum(bits[mine], _FULL), ways[mine]
        self._keys[slots] = keys[mine]


def _by_pair(votes: Votes) -> Rows:
    """Votes on one pair together, and of these what has one key; mostly there is one vote."""
    order = together(votes.pairs)
    pairs = votes.pairs[order]
    same = pairs[1:] == pairs[:-1]
    several = np.zeros(order.size, dtype=np.bool_)
    several[1:] = same
    several[:-1] |= same
    some = order[several]
    order[several] = some[np.lexsort((votes.keys[some], votes.pairs[some]))]
    return order


def undisputed(legs: Hashes, others: Hashes, hops: npt.NDArray[np.int16], times: Times) -> Rows:
    """For each leg the farthest of its other legs, at its earliest; none if those differ.

    The middle legs of a chain are nearer than its ends.
    """
    order = np.argsort(legs)
    if not (legs[order[1:]] == legs[order[:-1]]).any():
        return order
    order = np.lexsort((times, others, -hops, legs))
    legs, others, hops = legs[order], others[order], hops[order]
    begins, sizes = runs(legs[1:] != legs[:-1])
    group = np.repeat(np.arange(begins.size), sizes)
    farthest = hops == hops[begins][group]
    doubtful = np.zeros(begins.size, dtype=np.bool_)
    doubtful[group[farthest & (others != others[begins][group])]] = True
    return order[begins[~doubtful]]
