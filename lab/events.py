"""The kernel's decisions during a scenario, kept as the files that ``viptrace replay`` reads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from lab.netns import Child
from tracer.commands.live_run import Decisions
from tracer.errors import TracerError, UnableError
from tracer.settings import LiveSettings
from tracer.sinks.events_file import EventsWriter

START_TIMEOUT_S = 300.0
POLL_S = 0.1
QUIET_ROUNDS = 5
"""Empty reads after the end is asked for, before it is believed."""


class EventsRecorder:
    """A process in a node's namespace that writes ``events.npy`` and ``texts.json``."""

    def __init__(self, namespace: str, folder: Path, backend: str) -> None:
        here, there = Pipe()
        self._pipe = here
        settings = LiveSettings(backend=backend, packets=False)
        self._child = Child(namespace, _record, settings, folder, there)
        there.close()
        self.backend = self._answer("the kernel's events cannot be recorded", START_TIMEOUT_S)
        """``bpf`` or ``conntrack``: what it became."""

    def stop(self) -> None:
        """Write the files; they are complete when this returns."""
        self._pipe.send("stop")
        self._answer("the kernel's events were not written", START_TIMEOUT_S)
        self._child.stop()

    def _answer(self, what: str, timeout_s: float) -> str:
        if not self._pipe.poll(timeout_s):
            self._child.stop()
            raise UnableError(what, f"no answer within {timeout_s:.0f} s")
        try:
            said, failure = self._pipe.recv()
        except EOFError as error:
            raise UnableError(what, "its process died") from error
        if failure:
            raise UnableError(what, failure)
        return str(said)


def _record(settings: LiveSettings, folder: Path, pipe: Connection) -> None:
    try:
        with closing(Decisions(settings)) as decisions:
            decisions.open()
            decisions.watch(None)
            pipe.send((decisions.backend, ""))
            _drain(decisions, EventsWriter(folder / "events.npy", folder / "texts.json"), pipe.poll)
        pipe.send(("written", ""))
    except TracerError as error:
        pipe.send(("", str(error)))


def _drain(decisions: Decisions, writer: EventsWriter, asked: Callable[[], bool]) -> None:
    quiet = 0
    while quiet < QUIET_ROUNDS:
        batch = decisions.read(POLL_S)
        if batch is None:
            break
        writer.append(batch)
        quiet = 0 if len(batch.records) or not asked() else quiet + 1
    writer.close()
