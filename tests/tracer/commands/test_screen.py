"""The session's thread under the screen, with an app that only takes notes."""

from __future__ import annotations

from threading import Thread

from tests.tracer.shown import connect, traced
from tracer.commands.reel import Reel
from tracer.commands.screen import Desk
from tracer.errors import InputError
from tracer.events import EventBatch
from tracer.session import Session
from tracer.sources import Problem
from tracer.tempo import Tempo
from tracer.view import Line, Snapshot, ViewQuery


class Nothing:
    """A source that is at its end, or cannot even be opened."""

    name = "nothing"

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def problems(self) -> list[Problem]:
        return [Problem("packets", "none")]

    def open(self) -> None:
        if self.failure:
            raise self.failure

    def read(self, timeout: float) -> EventBatch | None:
        return None

    def close(self) -> None:
        pass


class Notes:
    """What the app was told."""

    def __init__(self) -> None:
        self.shown: list[Snapshot] = []
        self.lines: tuple[Line, ...] = ()
        self.ended: list[tuple[BaseException | None, bool]] = []

    def show(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)

    def begin(self) -> None:
        self.ended.clear()

    def checked(self, lines: tuple[Line, ...]) -> None:
        self.lines = lines

    def end(self, error: BaseException | None, leave: bool = False) -> None:
        self.ended.append((error, leave))


def work(desk: Desk, *questions: ViewQuery) -> Notes:
    """Let the session run to its end, then ask, then close the desk."""
    notes = Notes()
    thread = Thread(target=desk.work, args=(notes,))
    thread.start()
    while not notes.ended:
        thread.join(0.01)
    for question in questions:
        desk.ask(question)
    desk.close()
    thread.join()
    return notes


def test_after_the_end_what_was_found_can_still_be_looked_at():
    pipeline = traced()
    connect(pipeline, 1.0, count=3)
    session = Session([Nothing()], pipeline, [], live=False, backend="replay")
    notes = work(Desk(session, Reel(Tempo(), 0.0)), ViewQuery(), ViewQuery(filter="port=40001"))
    assert notes.ended == [(None, False)]
    assert [shot.sheet.count for shot in notes.shown] == [3, 1]
    assert (notes.shown[0].backend, notes.shown[0].degraded) == ("replay", ("packets: none",))


def test_a_live_screen_goes_with_its_session():
    session = Session([Nothing()], traced(), [], live=True)
    assert work(Desk(session)).ended == [(None, True)]


def test_a_failure_is_handed_over():
    failure = InputError("no such file")
    session = Session([Nothing(failure)], traced(), [], live=False)
    notes = work(Desk(session, Reel(Tempo(), 0.0)), ViewQuery())
    assert notes.ended == [(failure, True)]
    assert notes.shown == []


def test_this_machine_is_looked_at_beside_the_session():
    desk, notes = Desk(Session([Nothing()], traced(), [], live=False), Reel(Tempo(), 0.0)), Notes()
    desk.check(notes)
    desk.check(notes)
    desk.close()
    assert {"kernel", "privileges", "conntrack"} <= {line.cells[0] for line in notes.lines}
