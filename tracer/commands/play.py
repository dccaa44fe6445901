"""One run from sources to output: sinks or the screen, signals, summary, exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from types import FrameType

from tracer.cells import count_text
from tracer.commands.output import Output
from tracer.commands.progress import ProgressBar, has_room
from tracer.commands.reel import Reel
from tracer.diagnosis.finding import Severity
from tracer.filters import Filter, parse
from tracer.lag import lags, lags_json
from tracer.pipeline import Pipeline, Update
from tracer.session import Session, StateReader, Verifier
from tracer.sinks import Sink
from tracer.sinks.jsonl import JsonLines
from tracer.sinks.record import RecordSink
from tracer.sinks.text import TextLines
from tracer.sources import Problem, Source
from tracer.tempo import FULL_SPEED, Tempo
from tracer.view import Standing, ViewQuery

DONE, FAILED, INTERRUPTED = 0, 1, 130
_LOOK_EVERY_S = 1.0
_LAGS_SHOWN = 50
"""Services with the longest lags that a summary names."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is traced, wherever it goes."""

    sources: list[Source]
    pipeline: Pipeline
    live: bool
    title: str
    begin: Callable[[Session], None]
    """Called when every source is open: state that is known from the start."""
    backend: Callable[[], str]
    """Where decisions come from; known once the sources are open."""
    notes: tuple[str, ...] = ()
    """What is missing beside what the sources say."""
    duration_s: float = 0.0
    verifier: Verifier | None = None
    state_readers: tuple[StateReader, ...] = ()
    problems: Callable[[], list[Problem]] = list
    """What is missing beside what the sources say, as it is at the moment."""
    recorder: RecordSink | None = None
    told: Mapping[str, object] = field(default_factory=dict)
    """Further members of the summary."""
    names: Callable[[], str] = str
    """Where names are from, and how old they are."""
    progress: Callable[[], float] | None = None
    """Share of the input that has been read."""
    sinks: tuple[Sink, ...] = ()
    """Beside what is printed."""
    opened: Callable[[], None] | None = None
    """Called when every source is open, before any is read."""
    tempo: Tempo | None = None
    """How far a recording may be played, if somebody can change it."""
    pace: float = FULL_SPEED
    """The pace at which it is to be played."""
    again: Callable[[Tempo], Run] | None = None
    """The same input from its start; None where it can be read only once."""


def play(run: Run, output: Output) -> int:
    """Run to the end; answers with the exit code."""
    session = _session(run, output)
    code = _run(session, run, output)
    if output.fail_on and _has(run.pipeline, Severity[output.fail_on.upper()]):
        return FAILED
    return code


def _session(run: Run, output: Output) -> Session:
    chronicle = _Chronicle(run, output.form)
    session = Session(
        run.sources,
        run.pipeline,
        [*_bar(run, output), *_sinks(output), *run.sinks],
        live=run.live,
        duration_s=run.duration_s,
        verifier=run.verifier,
        state_readers=run.state_readers,
        beside=run.problems,
        recorder=run.recorder,
        summary=chronicle.summary,
        standing=lambda: Standing(run.names(), _recording(run.recorder)),
    )
    session.on_open = run.opened
    chronicle.follow(session)
    return session


def _recording(recorder: RecordSink | None) -> str:
    """File and size, as long as it is written."""
    if recorder is None or recorder.problems():
        return ""
    return f"{recorder.path.name} {count_text(recorder.total_bytes)}B"


def _run(session: Session, run: Run, output: Output) -> int:
    if output.form == "screen":
        # Textual takes a third of a second to import, and only the screen needs it.
        from tracer.commands.screen import run_screen

        query = ViewQuery(filter=output.filter, all_flows=output.all_flows)
        return run_screen(session, run.title, query, None if run.live else _reel(run, output))
    with _stopped_by_signals(session) as caught:
        session.run()
    return INTERRUPTED if caught else DONE


def _reel(run: Run, output: Output) -> Reel:
    """What plays this recording under the screen."""
    again = run.again

    def session(tempo: Tempo) -> Session:
        assert again is not None, "only then it is asked for"
        return _session(again(tempo), output)

    assert run.tempo is not None, "a recording for the screen has one"
    return Reel(run.tempo, run.pace, session if again else None, run.progress or (lambda: 1.0))


def _bar(run: Run, output: Output) -> list[Sink]:
    shown = run.progress is not None and has_room(output.form)
    return [ProgressBar(run.progress)] if run.progress and shown else []


def filter_of(output: Output) -> Filter | None:
    """The filter asked for; InputError, before anything is opened, if it is none."""
    return parse(output.filter) if output.filter else None


def _sinks(output: Output) -> list[Sink]:
    options = output.all_flows, output.updates, filter_of(output), output.summary
    if output.form == "json":
        return [JsonLines(sys.stdout.buffer, *options)]
    if output.form == "text":
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        return [TextLines(sys.stdout, colour, *options)]
    return []


class _Chronicle:
    """Keeps what the summary says beside the pipeline's own figures."""

    def __init__(self, run: Run, form: str) -> None:
        self._run, self._form = run, form
        self._degraded: list[str] = list(run.notes)
        self._looked_at = 0.0
        self._session: Session | None = None

    def follow(self, session: Session) -> None:
        """Look at this session's problems while its sources are open."""
        self._session = session
        session.on_ready = self._begin
        session.on_step = self._look

    def summary(self) -> dict[str, object]:
        """The last line's figures, in the order of the contract."""
        pipeline, recorder = self._run.pipeline, self._run.recorder
        ended = recorder.problems() if recorder else []
        before = tuple(problem.what for problem in ended)
        lasting = [one for one in self._degraded if not (before and one.startswith(before))]
        span_ns = max(pipeline.now_ns - pipeline.started_ns, 0)
        return (
            {
                "packets": pipeline.packets,
                "events": pipeline.events,
                "translations": len(pipeline.table.translated()),
                "findings": dict(pipeline.findings.counts()),
                "lost": {
                    "kernel": pipeline.lost.kernel,
                    "socket": pipeline.lost.socket,
                    "queue": pipeline.lost.queue,
                },
                "damaged": pipeline.damaged,
                "unparsed": len(pipeline.cluster.unparsed) + len(pipeline.node.unparsed),
                "duration_s": round(span_ns / 1e9, 3) if pipeline.started_ns else 0.0,
                "backend": self._run.backend(),
                "degraded": [*lasting, *map(str, ended)],
            }
            | _lag(pipeline)
            | dict(self._run.told)
        )

    def _begin(self) -> None:
        assert self._session is not None
        self._session.backend = self._run.backend()
        if self._run.recorder is not None:
            self._run.recorder.start()
        self._run.begin(self._session)

    def _nothing_left(self) -> bool:
        """Whether the run was for a recording only, which has ended."""
        recorder = self._run.recorder
        return self._form == "none" and recorder is not None and bool(recorder.problems())

    def _look(self, _: Update) -> None:
        now = time.monotonic()
        if self._nothing_left():
            assert self._session is not None, "it makes the steps"
            self._session.stop()
        if self._session is None or now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        self._degraded = [*self._run.notes, *map(str, self._session.problems())]


def _lag(pipeline: Pipeline) -> dict[str, object]:
    """How far the kernel kept behind the API, where endpoints changed."""
    table, changes = pipeline.table, pipeline.cluster.changes
    if not changes:
        return {}
    found = lags(table.flows, table.alive(), pipeline.enricher, changes, pipeline.servers)
    return {"lag": list(lags_json(found[:_LAGS_SHOWN]))} if found else {}


@contextmanager
def _stopped_by_signals(session: Session) -> Iterator[list[int]]:
    """SIGINT and SIGTERM end the run in order; the list holds those that came."""
    caught: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        caught.append(number)
        session.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has(pipeline: Pipeline, severity: Severity) -> bool:
    found = pipeline.findings.open() + pipeline.findings.closed()
    return any(finding.severity >= severity for finding in found)
