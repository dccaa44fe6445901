"""A recording under the screen: what is shown at a moment, however one came there."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from tracer.commands.output import Output
from tracer.commands.play import Run, _reel, _session
from tracer.commands.reel import Reel
from tracer.commands.replay_run import Replay, _for_screen, prepared
from tracer.commands.screen import Desk
from tracer.events import EventBatch, Origin, no_records, picked
from tracer.pipeline import Pipeline
from tracer.session import Session
from tracer.tempo import Tempo
from tracer.view import Line, Page, Snapshot, View, ViewQuery

SCENARIO = Path(__file__).parents[3] / "pcaps" / "endpoint-removal-lag"
PATIENCE_S = 20.0
ALL = ViewQuery(all_flows=True, height=10_000)


class Notes:
    """An app that keeps the answers for whoever waits for one."""

    def __init__(self) -> None:
        self.answers: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def show(self, snapshot: Snapshot) -> None:
        self.answers.put(snapshot)

    def checked(self, lines: tuple[Line, ...]) -> None:
        raise AssertionError("nobody asked")

    def begin(self) -> None:
        pass

    def end(self, error: BaseException | None, leave: bool = False) -> None:
        self.ended.put(error)


class Theatre:
    """A recording, the reel that plays it, and the answers to questions."""

    def __init__(self, run: Run) -> None:
        output = Output("screen")
        self.reel = _reel(run, output)
        self.desk, self.notes = Desk(_session(run, output), self.reel), Notes()

    def ask(self, wanted: Callable[[Snapshot], bool], query: ViewQuery = ALL) -> Snapshot:
        """The first answer that is as wanted."""
        while True:
            self.desk.ask(query)
            try:
                shot = self.notes.answers.get(timeout=0.5)
            except queue.Empty:
                continue  # asked of a reading that had just been given up
            if wanted(shot):
                return shot

    def at(self, at_ns: int, query: ViewQuery = ALL) -> Snapshot:
        """What is shown when it stands at this moment."""
        return self.ask(lambda shot: shot.tape.at_ns == shot.now_ns == at_ns, query)

    def whole(self) -> Snapshot:
        """What is shown when all has been read."""
        assert self.notes.ended.get(timeout=PATIENCE_S) is None
        return self.ask(lambda shot: True)


@contextmanager
def theatre(pace: float = 0.0) -> Iterator[Theatre]:
    made = Theatre(_for_screen(Replay((SCENARIO,), pace=pace)))
    thread = Thread(target=made.desk.work, args=(made.notes,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.desk.close()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def told_up_to(at_ns: int) -> Pipeline:
    """A pipeline that was given the recording's records up to this moment and no more."""
    run = prepared(Replay((SCENARIO,)), quiet=True)
    session = Session(run.sources, run.pipeline, [], live=False)
    (source,) = run.sources
    source.open()
    run.begin(session)
    while (batch := source.read(0.1)) is not None:
        assert isinstance(batch, EventBatch)
        due = batch.records["time_ns"] <= at_ns
        cut = picked(batch.records, np.flatnonzero(due))
        run.pipeline.feed(replace(batch, records=cut, until_ns=min(batch.until_ns, at_ns)))
        if not due.all():
            break
    run.pipeline.feed(EventBatch(no_records(), Origin.PACKETS, at_ns))
    source.close()
    return run.pipeline


def shown(shot: Snapshot) -> tuple[object, ...]:
    """What a user reads: the rows, what is open, what has closed, what was counted."""
    rows = sorted(shot.sheet.cells)
    return rows, [one.cause for one in shot.open], len(shot.closed), shot.packets, shot.events


@pytest.fixture(scope="module")
def moments() -> tuple[int, ...]:
    """An early, a middle and a late moment of the recording."""
    with theatre() as made:
        tape = made.whole().tape
    return tuple(tape.begin_ns + tape.span_ns * part // 10 for part in (2, 5, 8))


def test_a_moment_is_the_same_from_both_sides_and_as_if_no_more_had_been_read(moments):
    early, middle, late = moments
    with theatre() as made:
        everything = made.whole()
        seen = []
        for at_ns in (middle, early, late, middle):
            made.reel.seek(at_ns)
            seen.append(shown(made.at(at_ns)))
        assert seen[0] == seen[3]
        assert len({str(one) for one in seen}) == 3
        for at_ns, one in zip((middle, early, late), seen, strict=False):
            assert shown(View().answer(told_up_to(at_ns), ALL)) == one
        made.reel.seek(everything.tape.end_ns)
        assert shown(made.whole()) == shown(everything)


def test_the_whole_is_known_before_a_pace_plays_it_from_its_start():
    with theatre(pace=0.001) as made:
        shot = made.ask(lambda shot: shot.tape.read == 1.0 and shot.packets > 0)
        tape = shot.tape
        assert (tape.playing, tape.pace, tape.live) == (True, 0.001, False)
        assert tape.at_ns < tape.begin_ns + tape.span_ns // 2
        assert len(tape.marks) == 1


def test_records_are_stepped_through_by_their_times(moments):
    with theatre() as made:
        made.whole()
        made.reel.seek(moments[1])
        times = [made.at(moments[1]).now_ns]
        for _ in range(2):
            made.reel.step(1)
            stepped = made.ask(lambda shot, at=times[-1]: shot.tape.at_ns == shot.now_ns > at)
            times.append(stepped.now_ns)
        for at_ns in (times[2] - 1, times[1] - 1):
            made.reel.step(-1)
            back, direct = made.at(at_ns), told_up_to(at_ns)
            assert (back.packets, back.events) == (direct.packets, direct.events)


def test_play_begins_again_behind_the_end_and_is_held():
    with theatre() as made:
        whole = made.whole().tape
        made.reel.faster(-9)
        made.reel.toggle()
        made.ask(lambda shot: shot.tape.playing and whole.begin_ns <= shot.tape.at_ns)
        made.reel.toggle()
        held = made.ask(lambda shot: not shot.tape.playing).tape
        assert held.at_ns < whole.end_ns
        assert held.pace == 0.1


def test_a_wish_during_the_first_reading_waits_for_its_end():
    tempo = Tempo()
    reel = Reel(tempo, 0.0, lambda _: Session([], Pipeline(), [], live=False))
    tempo.passed(10, 20)
    reel.step(-1)
    assert not reel.given_up
    assert reel.next_session() is not None


def test_what_came_through_a_pipe_plays_at_once_and_has_no_way_back():
    tempo = Tempo(2.0)
    reel = Reel(tempo, 2.0)
    reel.step(-1)
    assert reel.next_session() is None
    placed = reel.placed(Snapshot(ViewQuery(page=Page.EVENTS)))
    assert (placed.tape.rewinds, placed.tape.playing) == (False, True)


def test_paces_follow_a_scale_with_full_speed_at_its_end():
    tempo = Tempo(1.0)
    reel = Reel(tempo, 1.0)
    reel.faster(1)
    assert tempo.pace == 2.0
    for _ in range(10):
        reel.faster(1)
    assert tempo.pace == 0.0
    reel.faster(-20)
    assert tempo.pace == 0.1
