"""Which tunnel each flow was captured inside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Records, Tunnel
from tracer.flow import Flows, Rows
from tracer.tunnels import Carrier

Packets = npt.NDArray[np.intp]
"""Numbers of records."""
_MAX_KNOWN = (1 << 16) - 1
"""As many as the column of a flow row can tell apart."""
_PART = np.dtype(
    [("kind", "<u2"), ("id", "<u4"), ("src", "<u8", (2,)), ("dst", "<u8", (2,))], align=False
)


class Tunnels:
    """Numbers for tunnels, which stay; 0 is none."""

    def __init__(self) -> None:
        self._known: list[Carrier | None] = [None]
        self._numbers: dict[Carrier, int] = {}

    def carrier(self, number: int) -> Carrier | None:
        """The tunnel with this number."""
        return self._known[number]

    def note(self, flows: Flows, records: Records, inside: Packets, rows: Rows) -> None:
        """Tell the rows of the packets that came in tunnels, if they know of none yet.

        ``inside``: which of the records those are; a row for each.
        """
        unknown = flows["tunnel"][rows] == 0
        at, rows = inside[unknown], rows[unknown]
        parts = _parts(records, at)
        distinct, inverse = np.unique(parts.view(f"V{_PART.itemsize}"), return_inverse=True)
        numbers = [self._number(part) for part in distinct.view(_PART)]
        flows["tunnel"][rows] = np.array(numbers, dtype=np.uint16)[inverse]

    def _number(self, part: np.void) -> int:
        one, other = sorted((part["src"].tobytes(), part["dst"].tobytes()))
        carrier = Carrier(Tunnel(int(part["kind"])), int(part["id"]), one, other)
        number = self._numbers.get(carrier, 0)
        if not number and len(self._known) <= _MAX_KNOWN:
            number = self._numbers[carrier] = len(self._known)
            self._known.append(carrier)
        return number


def _parts(records: Records, at: npt.NDArray[np.intp]) -> npt.NDArray[np.void]:
    parts = np.zeros(at.size, dtype=_PART)
    parts["kind"] = records["reason"][at]
    parts["id"] = records["nat_src_port"][at].astype(np.uint32) << np.uint32(16)
    parts["id"] |= records["nat_dst_port"][at]
    parts["src"], parts["dst"] = records["nat_src"][at], records["nat_dst"][at]
    return parts
