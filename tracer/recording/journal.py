"""What the kernel refused, in words: Wireshark shows them as lines between the packets.

Decoration, like comments. Only trouble is told: a file with such lines cannot be converted to
the old pcap format, which has no place for them, and a healthy recording should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tracer import address
from tracer.events import PROTOCOL_NAMES, Hook, Records, membership
from tracer.plain import harmless

MAX_LINES = 64
"""Of one batch; the rest is counted in one more."""
_TROUBLE = {
    Hook.IPVS_NO_DEST: "IPVS has no usable destination",
    Hook.IPVS_FAILED: "IPVS could not schedule",
    Hook.IPVS_NO_ROUTE: "IPVS found no route",
    Hook.CT_FAILED: "conntrack could not insert",
    Hook.CT_FULL: "conntrack table full",
    Hook.ICMP_SENT: "refused by ICMP",
    Hook.RST_SENT: "refused by reset",
    Hook.DROP: "dropped",
}
_MEMBER = membership(*_TROUBLE)


def lines(records: Records, text: Callable[[int], str]) -> Iterator[tuple[int, str]]:
    """(time, words) of the records that tell of trouble; ``text`` gives a text id's meaning."""
    rows = np.flatnonzero(_MEMBER[records["hook"]])
    for row in rows[:MAX_LINES].tolist():
        yield int(records["time_ns"][row]), _line(records[row], text)
    if len(rows) > MAX_LINES:
        last_ns = int(records["time_ns"][rows[-1]])
        yield last_ns, f"and {len(rows) - MAX_LINES} more refusals or drops"


def _line(record: np.void, text: Callable[[int], str]) -> str:
    hook = Hook(int(record["hook"]))
    ends = [
        address.endpoint(record[side].tobytes(), int(record[f"{side}_port"]))
        for side in ("src", "dst")
    ]
    protocol = PROTOCOL_NAMES.get(int(record["protocol"]), str(record["protocol"]))
    why = ""
    if hook == Hook.DROP:
        reason, location = text(int(record["reason"])), text(int(record["detail"]))
        why = ": " + " at ".join(filter(None, (reason, location)))
    return harmless(f"{_TROUBLE[hook]}: {protocol} {ends[0]} → {ends[1]}{why}")
