"""A recording under the screen: played, held, and read again from its start to go back.

Nothing of a reading is kept for going back: the inputs are read anew up to the moment
wanted, so what is shown there is what a replay up to there shows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from tracer.pipeline import Pipeline
from tracer.session import Session
from tracer.tempo import FULL_SPEED, Tempo
from tracer.view import Snapshot, Tape, marks_of

PACES = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, FULL_SPEED)
RECORDED_PACE = 1.0


class Reel:
    """Wishes come from the screen's thread, readings from the session's."""

    def __init__(
        self,
        tempo: Tempo,
        pace: float,
        again: Callable[[Tempo], Session] | None = None,
        progress: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """``again``: a session over the same input; None if that can be read only once."""
        self._tempo, self._pace = tempo, pace
        self._again, self._progress = again, progress
        self._lock = threading.Lock()
        self._next: Tempo | None = None
        """Of the reading that is to follow the present one."""
        self._whole: Tape | None = None
        """What a reading to the end has told."""
        self._ended = False
        self.on_rewind: Callable[[], None] = lambda: None
        """The present reading is to be given up, or the wait behind it."""

    @property
    def first_reading(self) -> bool:
        """Whether the input is still being read for the first time, at full speed."""
        return self._again is not None and self._whole is None

    @property
    def given_up(self) -> bool:
        """Whether the present reading is to be left for another."""
        return self._next is not None and self._whole is not None

    def toggle(self) -> None:
        """Hold; or play on, from the start if the end has been reached."""
        if self._reading_ahead:
            return
        if self._ended:
            whole = self._whole or Tape()
            self._pace = self._pace or RECORDED_PACE
            self._rewind(whole.begin_ns, self._pace)
        elif self._tempo.playing:
            self._tempo.hold()
        else:
            self._tempo.play(self._pace)

    def step(self, by: int) -> None:
        """One record on, or back to before the latest one."""
        if self._reading_ahead:
            return
        if by < 0:
            self._rewind(max(self._tempo.passed_ns - 1, self._tempo.began_ns), None)
        elif not self._ended:
            self._tempo.step()

    def faster(self, by: int) -> None:
        """The next pace of the scale, or the one before."""
        at = PACES.index(self._pace) if self._pace in PACES else PACES.index(RECORDED_PACE)
        self._pace = PACES[min(max(at + by, 0), len(PACES) - 1)]
        if self._tempo.playing and not self._ended and not self.first_reading:
            self._tempo.play(self._pace)

    def seek(self, at_ns: int) -> None:
        """Forward by reading on, back by reading again; playing goes on from there."""
        whole = self._whole
        if self._reading_ahead:
            return
        then = self._pace if self._tempo.playing and self._pace and not self._ended else None
        if whole is not None and at_ns >= whole.end_ns:
            if not self._ended:
                self._tempo.play(FULL_SPEED)
        elif self._ended or at_ns < self._tempo.position_ns:
            self._rewind(max(at_ns, self._tempo.began_ns), then)
        else:
            self._tempo.run_to(at_ns, then)

    @property
    def _reading_ahead(self) -> bool:
        """Whether playing has not begun, because the whole is read before."""
        return self.first_reading and self._pace != FULL_SPEED

    def read_through(self, pipeline: Pipeline) -> None:
        """A reading has come to its end, unless it was given up for another."""
        with self._lock:
            if self._whole is None:
                findings = pipeline.findings.closed() + pipeline.findings.open()
                end_ns = max(pipeline.now_ns, self._tempo.position_ns)
                self._whole = Tape(self._tempo.began_ns, end_ns, marks=marks_of(findings))
                if self._again and self._pace and self._next is None:
                    self._tempo = self._next = Tempo()
                    self._next.run_to(self._whole.begin_ns, self._pace)
            self._ended = self._next is None

    def next_session(self) -> Session | None:
        """The reading that was wished for meanwhile."""
        with self._lock:
            tempo, self._next = self._next, None
            self._tempo = tempo or self._tempo
        return self._again(tempo) if tempo is not None and self._again is not None else None

    def placed(self, shot: Snapshot) -> Snapshot:
        """The answer with the recording's own time line."""
        whole = self._whole
        first = self.first_reading
        tape = Tape(
            whole.begin_ns if whole else self._tempo.began_ns,
            max(whole.end_ns if whole else 0, shot.tape.end_ns),
            whole.end_ns if whole and self._ended else self._tempo.position_ns,
            playing=self._tempo.playing and not self._ended,
            pace=self._pace,
            marks=whole.marks if whole else shot.tape.marks,
            live=False,
            read=self._progress() if first else 1.0,
            rewinds=self._again is not None,
        )
        if self._reading_ahead:
            # What happens at the end is not told before it is played.
            return Snapshot(shot.query, missing="Reading the recording…", tape=tape)
        return replace(shot, tape=tape)

    def _rewind(self, at_ns: int, then: float | None) -> None:
        if self._again is None:
            return
        tempo = Tempo()
        tempo.run_to(at_ns, then)
        with self._lock:
            # The first reading goes to its end: only that tells how long the recording is.
            ready = self._whole is not None
            self._next, self._ended = tempo, False
            if ready:
                self._tempo = tempo
        if ready:
            self.on_rewind()
        else:
            self._tempo.play(FULL_SPEED)
