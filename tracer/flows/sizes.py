"""ICMP about packets that do not fit the way on: harmless once, a black hole when repeated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol, Records
from tracer.flow import Flows, Rows, Seen

AGAIN_NS = 2_000_000_000
"""A sender that hears of it sends smaller packets at once; later ones it did not hear of."""
_NEEDS_FRAGMENTATION = 3 << 8 | 4
_PACKET_TOO_BIG_V6 = 2


def too_big(records: Records) -> npt.NDArray[np.bool_]:
    """Which ICMP records, seen or sent, say that the quoted packet did not fit."""
    v6 = (records["family"] == 10) | (records["protocol"] == Protocol.ICMPV6)
    kind = records["detail"] >> np.uint64(8)
    fits = np.where(v6, kind == _PACKET_TOO_BIG_V6, records["detail"] == _NEEDS_FRAGMENTATION)
    return np.asarray(fits)


def note_too_big(flows: Flows, rows: Rows, times: npt.NDArray[np.int64]) -> None:
    """Remember the first such message of each flow, and that there was a later one."""
    unset = rows[flows["too_big_ns"][rows] == 0]
    flows["too_big_ns"][unset] = np.iinfo(np.int64).max
    np.minimum.at(flows["too_big_ns"], rows, times)
    np.maximum.at(flows["last_ns"], rows, times)
    again = times - flows["too_big_ns"][rows] >= AGAIN_NS
    bits = np.where(again, np.uint32(Seen.TOO_BIG | Seen.TOO_BIG_AGAIN), np.uint32(Seen.TOO_BIG))
    np.bitwise_or.at(flows["seen"], rows, bits)
