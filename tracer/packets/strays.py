"""Times that damage made: a few packets far from those around them must not move the clock.

Everything that is concluded from silence hangs on time, so one flipped bit could lose every
flow of a capture. A real gap goes on: what comes behind it stays there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

JUMP_NS = 60_000_000_000
"""Packets of one capture point are out of order by less than this."""
FAR_NS = 7 * 86_400_000_000_000
"""Farther than this, the last packets of a capture are not believed either."""
STRAY_PACKETS = 8
"""As many in a row may be astray; more are a real gap."""
_MOST_WAITING = 64
"""A capture point where little happens must not hold up the others."""
_BOUND = 1 << 61

Times = npt.NDArray[np.int64]


class Strays:
    """Judges the packets of one file, in file order, by the clock of each capture point."""

    def __init__(self, last_ns: int | None = None) -> None:
        """``last_ns``: the time before the first packet, if it is known."""
        self.found = 0
        """Packets that were astray."""
        self._last = last_ns
        self._believed: dict[int, int] = {}
        """By capture point, where they differ."""

    def settle(self, times: Times, points: npt.NDArray[np.uint32], *, final: bool) -> int:
        """Put times that are astray to the one before, in place.

        The answer is how many packets at the end cannot be judged before more are known;
        they have not been touched and are to be given again. ``final``: no more will come.
        """
        if not times.size:
            return 0
        if not self._believed and self._is_steady(np.ascontiguousarray(times)):
            self._last = int(times[-1])
            return 0
        np.clip(times, -_BOUND, _BOUND, out=times)
        # What follows a packet that must wait has to wait, too.
        held = 0 if final else self._waiting(times, points)
        count = times.size - held
        for point in np.unique(points[:count]).tolist():
            rows = np.flatnonzero(points[:count] == point)
            self._settle_point(times, rows, point)
        if count:
            self._last = int(times[count - 1])
        return held

    def _is_steady(self, times: Times) -> bool:
        """No packet is far from the one before it; mostly all lie within one jump."""
        before = int(times[0]) if self._last is None else self._last
        first, last = min(int(times.min()), before), max(int(times.max()), before)
        if last - first <= JUMP_NS:
            return True
        return max(-first, last) <= _BOUND and not _jumps(times, before).any()

    def _waiting(self, times: Times, points: npt.NDArray[np.uint32]) -> int:
        """How many at the end cannot be judged yet."""
        first = times.size
        for point in np.unique(points).tolist():
            rows = np.flatnonzero(points == point)
            jumps = np.flatnonzero(_jumps(times[rows], self._before(point, int(times[rows[0]]))))
            late = rows[jumps[jumps >= rows.size - STRAY_PACKETS]]
            late = late[late >= times.size - _MOST_WAITING]
            if late.size:
                first = min(first, int(late[0]))
        return times.size - first

    def _before(self, point: int, otherwise: int) -> int:
        known = self._believed.get(point, self._last)
        return otherwise if known is None else known

    def _settle_point(self, times: Times, rows: npt.NDArray[np.intp], point: int) -> None:
        own = times[rows]
        believed = self._before(point, _first_believed(own))
        row = 0
        for begin in [*np.flatnonzero(_jumps(own, believed)).tolist(), own.size]:
            if begin < row:
                continue
            believed = int(own[begin - 1]) if begin > row else believed
            stop = _astray_until(own, begin, believed)
            own[begin:stop] = believed
            self.found += stop - begin
            row = stop
        times[rows] = own
        self._believed[point] = int(own[-1])


def _jumps(times: Times, before: int) -> npt.NDArray[np.bool_]:
    """Which packets are far from the one before them."""
    return np.abs(np.diff(times, prepend=np.int64(before))) > JUMP_NS


def _first_believed(times: Times) -> int:
    """The time a capture begins with: the first few may be astray."""
    if times.size > STRAY_PACKETS:
        typical = int(np.median(times[: 4 * STRAY_PACKETS]))
        if abs(int(times[0]) - typical) > FAR_NS:
            return typical
    return int(times[0])


def _astray_until(times: Times, begin: int, believed: int) -> int:
    """Where time is back from a jump at ``begin``; ``begin`` itself if the jump is real."""
    near = np.abs(times[begin : begin + STRAY_PACKETS + 1] - believed) <= JUMP_NS
    back = np.flatnonzero(near)
    if back.size:
        return begin + int(back[0])
    ends = times.size - begin <= STRAY_PACKETS
    far = begin < times.size and abs(int(times[begin]) - believed) > FAR_NS
    return times.size if ends and far else begin
