"""Replay: which files belong together, and what they say before the first packet."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tracer.cluster.file import load as load_cluster
from tracer.cluster.model import Cluster
from tracer.commands.ahead import Ahead
from tracer.commands.captures import Captures, open_captures
from tracer.commands.clock_option import ClockChoice
from tracer.commands.output import Output
from tracer.commands.play import Run, filter_of, play
from tracer.errors import InputError
from tracer.events import EventBatch, Hook, membership
from tracer.node.identity import node_of
from tracer.node.model import NodeState
from tracer.node.state_dir import load as load_state
from tracer.pipeline import Pipeline
from tracer.plain import harmless
from tracer.recording import Header, StateAt
from tracer.recording.privacy import Privacy
from tracer.session import Session
from tracer.sinks.report import ReportSink
from tracer.sinks.report_html import html
from tracer.sinks.report_markdown import markdown
from tracer.sources import Problem, Source
from tracer.sources.changed import ChangedSource, earlier, fit_for_strangers
from tracer.sources.events_file import EventsSource
from tracer.sources.merge import MergedSource
from tracer.sources.paced import Paced
from tracer.tempo import Tempo

HTML_SUFFIXES = (".html", ".htm")
_CAPTURES = tuple(
    f"capture{kind}{packed}" for kind in (".pcapng", ".pcap") for packed in ("", ".gz", ".zst")
)
_MAPPED = membership(Hook.CT_NEW, Hook.IPVS_NEW, Hook.CT_END, Hook.IPVS_NO_DEST)
"""Drops and refusals come from every namespace, decisions from the one looked at."""
_CLUSTERS = ("cluster.yaml", "cluster.yml", "cluster.json")


@dataclass(frozen=True, slots=True)
class Replay:
    """What ``viptrace replay`` was asked to do."""

    paths: tuple[Path, ...]
    cluster: Path | None = None
    no_cluster: bool = False
    state: Path | None = None
    pace: float = 0.0
    """Seconds of the recording in one second; 0 as fast as possible."""
    report: Path | None = None
    clocks: ClockChoice = field(default_factory=ClockChoice)
    """How clocks of several files are compared."""
    ahead: Ahead | None = None
    """The only capture, where it is being read already."""
    privacy: Privacy = field(default_factory=Privacy)
    """What is concluded and shown only from inputs as they may be seen."""


def replay_files(request: Replay, output: Output) -> int:
    """Diagnose recorded traffic; answers with the exit code."""
    filter_of(output)
    kept = request.report is not None
    run = _for_screen(request) if output.form == "screen" else prepared(request, keep_bytes=kept)
    if request.report is not None:
        render = html if request.report.suffix in HTML_SUFFIXES else markdown
        report = ReportSink(request.report, run.title.removeprefix("replay "), render)
        try:
            report.start()
        except InputError:
            for source in run.sources:
                source.close()
            raise
        run = replace(run, sinks=(*run.sinks, report))
    return play(run, output)


def _for_screen(request: Replay) -> Run:
    """A run whose pace can be changed, and which can be read again to go back."""
    if not all(path.is_file() or path.is_dir() for path in request.paths):
        tempo = Tempo(request.pace)
        return replace(prepared(request, tempo), tempo=tempo, pace=request.pace)
    tempo = Tempo()
    run = prepared(request, tempo)
    return replace(
        run,
        tempo=tempo,
        pace=request.pace,
        again=lambda tempo: prepared(request, tempo, quiet=True),
    )


def prepared(
    request: Replay, tempo: Tempo | None = None, quiet: bool = False, *, keep_bytes: bool = True
) -> Run:
    """What is to be read, and a pipeline that is as the live one was.

    ``tempo`` in place of the pace that was asked for; ``quiet``: it has been said which
    files are used. Without ``keep_bytes`` no packet can be shown or written.
    """
    if tempo is None and request.pace:
        tempo = Tempo(request.pace)
    sets = [_FileSet.of(path) for path in request.paths]
    captures = open_captures(
        [files.capture for files in sets if files.capture],
        keep_node=request.state is None,
        keep_cluster=request.cluster is None and not request.no_cluster,
        keep_bytes=keep_bytes,
        choice=request.clocks,
        ahead=request.ahead,
    )
    beside = [] if captures.recordings else sets
    cluster_file = (
        None if request.no_cluster else request.cluster or _first(s.cluster for s in beside)
    )
    state = request.state or _first(s.state for s in beside)
    if not quiet:
        _say_what_was_found(request, cluster_file, state, sets)
    privacy = request.privacy
    start = _Primed(ChangedSource(_source(captures, sets, tempo), fit_for_strangers(privacy)))
    cluster = load_cluster(cluster_file) if cluster_file else Cluster()
    pipeline = _pipeline(captures.header, sets, request.ahead)

    def begin(session: Session) -> None:
        if state is not None or not captures.recordings:
            node, existing = _known(state, start.first_ns, cluster)
            session.step(pipeline.set_node(privacy.node(node), start.first_ns))
        else:
            existing = None
        if cluster_file or not captures.recordings:
            session.step(pipeline.set_cluster(privacy.cluster(cluster), start.first_ns))
        if existing is not None:
            session.step(pipeline.feed(privacy.batch(existing)))

    unnamed = not cluster_file and (request.no_cluster or not captures.recordings)
    notes = ("no names: no cluster file (--cluster FILE)",) if unnamed else ()
    titles = ", ".join(path.name or str(path) for path in request.paths)
    title = f"replay {harmless(titles)}"
    run = Run([start], pipeline, False, title, begin, lambda: "replay", notes)
    clocks = captures.clocks
    run = replace(
        run,
        problems=lambda: [clock.problem for clock in clocks if clock.problem],
        told={"clocks": [clock.json() for clock in clocks]} if len(clocks) > 1 else {},
    )
    names = "none" if unnamed else "file" if cluster_file else "recorded"
    return replace(run, names=lambda: names, progress=captures.progress)


def _pipeline(header: Header | None, sets: list[_FileSet], ahead: Ahead | None) -> Pipeline:
    """As the live one was, as far as that was recorded."""
    if header is None:
        told = any(files.events for files in sets)
        pairer = ahead.source if ahead else None
        return Pipeline(home_netns=_home(sets), pair=not told, pairer=pairer)
    pipeline = Pipeline(
        home_netns=header.home_netns,
        pair=header.pairs,
        several_clocks=header.several_clocks,
    )
    if header.requests_only:
        pipeline.table.sees_requests_only()
    return pipeline


@dataclass(frozen=True, slots=True)
class _FileSet:
    """The files that describe one recording."""

    capture: Path | None = None
    events: Path | None = None
    cluster: Path | None = None
    state: Path | None = None

    @classmethod
    def of(cls, path: Path) -> _FileSet:
        """A folder's files, or a file with those beside it."""
        if str(path) == "-" or not (path.is_dir() or path.is_file()):
            return cls(capture=path)
        folder = path if path.is_dir() else path.parent
        found = cls(
            capture=_first(_present(folder, _CAPTURES)),
            events=_first(_present(folder, ("events.npy",))),
            cluster=_first(_present(folder, _CLUSTERS)),
            state=folder / "state" if (folder / "state").is_dir() else None,
        )
        if path.is_file():
            if path.suffix == ".npy":
                return replace(found, capture=None, events=path)
            beside = found.events if path.name in _CAPTURES else None
            return replace(found, capture=path, events=beside)
        if found.capture is None and found.events is None:
            raise InputError(
                f"{path} holds no recording.",
                f"There is neither {_CAPTURES[0]} nor events.npy in it.",
                "Name the capture file itself.",
            )
        return found


def _present(folder: Path, names: Iterable[str]) -> Iterable[Path]:
    return (folder / name for name in names if (folder / name).is_file())


def _first(paths: Iterable[Path | None]) -> Path | None:
    return next((path for path in paths if path is not None), None)


def _source(captures: Captures, sets: list[_FileSet], tempo: Tempo | None) -> Source:
    sources = list(captures.sources)
    ahead_ns = {name: clock.ahead_ns for clock in captures.clocks for name in clock.files}
    for files in sets:
        if files.events:
            texts = files.events.with_name("texts.json")
            events = EventsSource(files.events, texts if texts.is_file() else None)
            shift_ns = ahead_ns.get(str(files.capture), 0)
            sources.append(ChangedSource(events, earlier(shift_ns)) if shift_ns else events)
    source = sources[0] if len(sources) == 1 else MergedSource(sources)
    return Paced(source, tempo) if tempo else source


def _say_what_was_found(
    request: Replay, cluster: Path | None, state: Path | None, sets: list[_FileSet]
) -> None:
    """Files that nobody named are named now."""
    found = [cluster if not request.cluster else None, state if not request.state else None]
    found += [files.events for files in sets if files.events not in request.paths]
    used = ", ".join(str(path) for path in found if path)
    if used:
        sys.stderr.write(harmless(f"viptrace: also using {used}") + "\n")


def _home(sets: list[_FileSet]) -> int:
    """The namespace that most mappings, else most kernel records, are of: packets tell none."""
    for files in sets:
        if files.events:
            try:
                events = np.load(files.events, mmap_mode="r")
                every = events["netns"]
                mapped = every[_MAPPED[events["hook"]] & (every != 0)]
            except (OSError, ValueError, IndexError):
                continue
            told = mapped if len(mapped) else every[every != 0]
            values, counts = np.unique(told, return_counts=True)
            if len(values):
                return int(values[counts.argmax()])
    return 0


def _known(state: Path | None, at_ns: int, cluster: Cluster) -> tuple[NodeState, EventBatch | None]:
    """The node's state and connections as they were at the start of the recording."""
    if state is None:
        return NodeState(), None
    node, existing = load_state(state, at_ns)
    name = node.node_name or node_of(cluster, node)
    return replace(node, node_name=name), replace(existing, until_ns=0)


class _Primed:
    """A source whose first batch is read when it is opened: its time is that of the state."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.first_ns = 0
        self._source = source
        self._read: deque[EventBatch | StateAt] = deque()

    def problems(self) -> list[Problem]:
        """Those of the source."""
        return self._source.problems()

    def open(self) -> None:
        """Open the source and wait for its first record, or its end."""
        self._source.open()
        while (batch := self._source.read(0.1)) is not None:
            self._read.append(batch)
            if isinstance(batch, EventBatch) and len(batch.records):
                self.first_ns = int(batch.records["time_ns"].min())
                return

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """What was read when it was opened, then the rest."""
        return self._read.popleft() if self._read else self._source.read(timeout)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
