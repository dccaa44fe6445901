"""How far a recording may be played by now: wishes from any thread, obeyed by its source.

Time is that of the records. Played on, the limit moves with the clock; held, it stands
still, and what lies behind it has to wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FULL_SPEED = 0.0
"""A pace: as fast as it can be read."""
_NEVER = (1 << 63) - 1


class Tempo:
    """Plays, holds, steps, or runs to a moment."""

    def __init__(
        self,
        pace: float = FULL_SPEED,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """``pace``: seconds of the recording in one second; ``sleep`` instead of waiting."""
        self._pace, self._clock, self._sleep = pace, clock, sleep
        self._changed = threading.Condition()
        self._playing = True
        self._held_ns = 0
        self._steps = 0
        self._then: float | None = None
        """The pace behind the moment that is run to; None to stay there."""
        self._origin: tuple[float, int] | None = None
        """Clock and record time at which this pace began."""
        self._began_ns = self._passed_ns = self._reached_ns = 0

    @property
    def playing(self) -> bool:
        """Whether time goes on by itself, at once or from the moment that is run to."""
        return self._playing or self._then is not None

    @property
    def pace(self) -> float:
        """Seconds of the recording in one second, while it plays."""
        return self._pace

    @property
    def began_ns(self) -> int:
        """The first record's time; 0 before there was one."""
        return self._began_ns

    @property
    def passed_ns(self) -> int:
        """The time of the latest record that has passed."""
        return self._passed_ns

    @property
    def position_ns(self) -> int:
        """How far it has come, silence included."""
        return max(self._reached_ns, self._passed_ns)

    def play(self, pace: float) -> None:
        """Go on from here at this pace."""
        with self._changed:
            self._pace, self._playing, self._origin, self._then = pace, True, None, None
            self._changed.notify_all()

    def hold(self) -> None:
        """Stay here."""
        with self._changed:
            self._held_ns, self._playing, self._then = self.position_ns, False, None

    def run_to(self, at_ns: int, then: float | None = None) -> None:
        """Read up to this moment at full speed, then stay there or play on at a pace."""
        with self._changed:
            self._held_ns, self._playing, self._then = at_ns, False, then
            self._changed.notify_all()

    def step(self) -> None:
        """To the next record, and stay there."""
        with self._changed:
            if self._playing or self._then is not None:
                self._held_ns, self._playing, self._then = self.position_ns, False, None
            self._steps += 1
            self._changed.notify_all()

    def limit_ns(self, next_ns: int) -> int:
        """What is later than this has to wait; ``next_ns`` is the next record's time."""
        with self._changed:
            limit = self._limit(next_ns)
            self._reached_ns = max(self._reached_ns, min(limit, next_ns))
            return limit

    def passed(self, first_ns: int, last_ns: int) -> None:
        """Records have passed."""
        with self._changed:
            self._began_ns = self._began_ns or first_ns
            self._passed_ns = max(self._passed_ns, last_ns)

    def wait(self, next_ns: int, timeout_s: float) -> None:
        """Until the next record may be due, somebody wishes otherwise, or time is up."""
        with self._changed:
            early_ns = next_ns - self._limit(next_ns)
            if early_ns <= 0:
                return
            if self._playing:
                timeout_s = min(timeout_s, early_ns / 1e9 / self._pace)
            if self._sleep is None:
                self._changed.wait(timeout_s)
                return
        self._sleep(timeout_s)

    def _limit(self, next_ns: int) -> int:
        if self._then is not None and next_ns > self._held_ns:
            self._pace, self._playing, self._then = self._then, True, None
            self._origin = self._clock(), self._held_ns
        if not self._playing:
            if self._steps and next_ns > self._held_ns:
                self._steps -= 1
                self._held_ns = next_ns
            return self._held_ns
        if self._pace == FULL_SPEED:
            return _NEVER
        if self._origin is None:
            self._origin = self._clock(), self.position_ns or next_ns
        began_s, from_ns = self._origin
        return from_ns + int((self._clock() - began_s) * self._pace * 1e9)
