"""Who asked: a translation is read from the client's side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol, Records, TcpFlag
from tracer.pairing.conversations import Conversations
from tracer.pairing.sightings import Passages
from tracer.pairing.traces import Mask, is_icmp

_ECHO_REQUESTS, _ECHO_REPLIES = (8, 128), (0, 129)
_FIRST_FREE, _FIRST_EPHEMERAL = 1024, 32768
"""Servers' own ports end below; clients' begin there on Linux, NodePorts end below it."""

Ports = npt.NDArray[np.uint16]


def directions(found: Passages, conversations: Conversations) -> tuple[Mask, Mask]:
    """Which packets come from the client, and which go to it; neither where that is unknown."""
    asks, answers = _by_ports(found)
    for side in (found.before, found.after):
        from_client, to_client = conversations.asks(side.ends)
        told = from_client != to_client
        asks, answers = np.where(told, from_client, asks), np.where(told, to_client, answers)
    records = found.before.first
    syn = (records["protocol"] == Protocol.TCP) & (records["tcp_flags"] & TcpFlag.SYN != 0)
    answered = records["tcp_flags"] & TcpFlag.ACK != 0
    asks, answers = np.where(syn, ~answered, asks), np.where(syn, answered, answers)
    return _echoes(records, asks, answers)


def _echoes(records: Records, asks: Mask, answers: Mask) -> tuple[Mask, Mask]:
    echo, kind = is_icmp(records), records["detail"] >> np.uint64(8)
    request = (kind == _ECHO_REQUESTS[0]) | (kind == _ECHO_REQUESTS[1])
    reply = (kind == _ECHO_REPLIES[0]) | (kind == _ECHO_REPLIES[1])
    return np.where(echo, request, asks), np.where(echo, reply, answers)


def _by_ports(found: Passages) -> tuple[Mask, Mask]:
    """Servers have low ports; a client's port may be any once its source was translated."""
    before, after = found.before.first, found.after.first
    asks = _serves(before["src_port"], before["dst_port"], _FIRST_FREE)
    asks |= _serves(after["src_port"], after["dst_port"], _FIRST_FREE)
    answers = _serves(before["dst_port"], before["src_port"], _FIRST_FREE)
    answers |= _serves(after["dst_port"], after["src_port"], _FIRST_FREE)
    vague = ~asks & ~answers
    asks |= vague & _serves(before["src_port"], before["dst_port"], _FIRST_EPHEMERAL)
    answers |= vague & _serves(after["dst_port"], after["src_port"], _FIRST_EPHEMERAL)
    return asks & ~answers, answers & ~asks


def _serves(client: Ports, server: Ports, bound: int) -> Mask:
    return np.asarray((client >= bound) & (server < bound))
