"""A session under the screen: Textual has the main thread, so the session gets another."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Protocol

from tracer.commands.facts import NO, PARTLY, YES, facts
from tracer.plain import harmless
from tracer.session import Session
from tracer.tui.app import TracerApp
from tracer.view import Line, Snapshot, Tone, ViewQuery


def run_screen(session: Session, title: str, query: ViewQuery, stay: bool) -> int:
    """Show a session until its user quits; answers with the exit code.

    ``stay`` keeps the screen when the session has ended.
    """
    desk = Desk(session, stay)
    app = TracerApp(desk.ask, title, query, handle_signals=True, check=lambda: desk.check(app))
    session.on_snapshot = app.show
    thread = threading.Thread(target=desk.work, args=(app,), name="session")
    thread.start()
    try:
        code = app.run()
    finally:
        session.stop()
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

    def end(self, error: BaseException | None, leave: bool = False) -> None:
        """The session is over."""


class Desk:
    """Takes questions; the session answers them, and after its end the desk itself."""

    def __init__(self, session: Session, stay: bool) -> None:
        self._session = session
        self._stay = stay
        self._ended = threading.Event()
        self._checker: threading.Thread | None = None
        self._questions: queue.SimpleQueue[ViewQuery | None] = queue.SimpleQueue()

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
        self._questions.put(None)
        if self._checker is not None:
            self._checker.join()

    def work(self, app: Screen) -> None:
        """The session's thread: a replay ends, but what it found stays to be looked at."""
        try:
            self._session.run()
        except BaseException as error:  # a thread boundary: handed over, not lost
            app.end(error, leave=True)
            return
        self._ended.set()
        app.end(None, leave=not self._stay)
        problems = tuple(map(str, self._session.problems()))
        while (query := self._questions.get()) is not None:
            pipeline, backend = self._session.pipeline, self._session.backend
            app.show(self._session.view.answer(pipeline, query, backend, problems))


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
