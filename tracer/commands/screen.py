"""A session under the screen: Textual has the main thread, so the session gets another."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Protocol

from tracer.commands.fact import NO, PARTLY, YES
from tracer.commands.facts import facts
from tracer.commands.reel import Reel
from tracer.plain import harmless
from tracer.session import Session
from tracer.tui.app import TracerApp
from tracer.view import Line, Snapshot, Tone, ViewQuery


def run_screen(session: Session, title: str, query: ViewQuery, reel: Reel | None) -> int:
    """Show a session until its user quits; answers with the exit code.

    With a ``reel`` the screen stays when the session has ended, to look at it or play it again.
    """
    desk = Desk(session, reel)
    app = TracerApp(
        desk.ask,
        title,
        query,
        handle_signals=True,
        check=lambda: desk.check(app),
        player=reel,
    )
    thread = threading.Thread(target=desk.work, args=(app,), name="session")
    thread.start()
    try:
        code = app.run()
    finally:
        desk.close()
        thread.join()
    if app.failure is not None:
        raise app.failure
    return code or 0


class Screen(Protocol):
    """What the session's thread may say to the app."""

    def show(self, snapshot: Snapshot) -> None:
        """Take an answer."""

    def checked(self, lines: tuple[Line, ...]) -> None:
        """Take what is known of this machine."""

    def begin(self) -> None:
        """Another session answers from now on."""

    def end(self, error: BaseException | None, leave: bool = False) -> None:
        """The session is over."""


class Desk:
    """Takes questions; the session answers them, and after its end the desk itself."""

    def __init__(self, session: Session, reel: Reel | None = None) -> None:
        self._session, self._reel = session, reel
        self._ended, self._closed = threading.Event(), threading.Event()
        self._checker: threading.Thread | None = None
        self._questions: queue.SimpleQueue[ViewQuery | None] = queue.SimpleQueue()
        if reel is not None:
            reel.on_rewind = self._wake

    def ask(self, query: ViewQuery) -> None:
        """Called by the app."""
        if self._ended.is_set():
            self._questions.put(query)
        else:
            self._session.request(query)

    def check(self, app: Screen) -> None:
        """Look at this machine beside everything else: it takes up to a second."""
        if self._checker is None or not self._checker.is_alive():
            self._checker = threading.Thread(
                target=lambda: app.checked(check_lines(Path("/"))), name="check"
            )
            self._checker.start()

    def close(self) -> None:
        """No more questions."""
        self._closed.set()
        self._wake()
        if self._checker is not None:
            self._checker.join()

    def work(self, app: Screen) -> None:
        """The session's thread: a replay ends, but what it found stays to be looked at."""
        try:
            self._read(app)
            while not self._closed.is_set() and (session := self._next()) is not None:
                self._session = session
                self._ended.clear()
                app.begin()
                self._read(app)
        except BaseException as error:  # a thread boundary: handed over, not lost
            app.end(error, leave=True)

    def _read(self, app: Screen) -> None:
        """One reading of the input, and the questions behind its end."""
        session, reel = self._session, self._reel
        session.on_snapshot = lambda shot: app.show(reel.placed(shot) if reel else shot)
        if self._over:
            session.stop()  # a wish that came before this reading could be told of it
        session.run()
        if reel:
            reel.read_through(session.pipeline)
        if self._over:
            return
        self._ended.set()
        app.end(None, leave=reel is None)
        while (query := self._questions.get()) is not None or not self._over:
            if query is not None:
                session.on_snapshot(session.answer(query))

    @property
    def _over(self) -> bool:
        """Whether this reading is to be left."""
        return self._closed.is_set() or (self._reel is not None and self._reel.given_up)

    def _next(self) -> Session | None:
        return self._reel.next_session() if self._reel else None

    def _wake(self) -> None:
        """End the present reading and what is behind it."""
        self._session.stop()
        self._questions.put(None)


_TONES = {YES: Tone.GOOD, PARTLY: Tone.WARN, NO: Tone.BAD}


def check_lines(root: Path) -> tuple[Line, ...]:
    """The facts of ``viptrace check`` as rows."""
    return tuple(
        Line(
            ("fact", fact.name),
            tuple(map(harmless, (fact.name, fact.works, fact.found, fact.degrades, fact.remedy))),
            _TONES[fact.works],
        )
        for fact in facts(root)
    )
