"""Live: choose sources, give them and the pipeline what is known of node and cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing, nullcontext
from pathlib import Path

from tracer.clock import wall_ns
from tracer.commands.live_beside import Beside
from tracer.commands.live_cluster import Interest, LiveCluster
from tracer.commands.live_health import LiveHealth
from tracer.commands.output import Output
from tracer.commands.play import Run, filter_of, play
from tracer.commands.recorder import StatusLine, complain, recorder_of
from tracer.errors import InputError, UnableError
from tracer.events import EventBatch
from tracer.names import Names
from tracer.node.collect import Collector
from tracer.node.existing import existing, own_netns
from tracer.node.reader import NodeReader
from tracer.node.verifier import TableVerifier
from tracer.pipeline import Pipeline
from tracer.privileges import give_up, needed
from tracer.recording import StateAt
from tracer.session import Session
from tracer.settings import LiveSettings, RecordSettings
from tracer.sinks import Sink
from tracer.sinks.record import RecordSink
from tracer.sources import Problem, Source
from tracer.sources.conntrack import ConntrackSource
from tracer.sources.kernel import KernelSource
from tracer.sources.sniff import DEFAULT_SNAP, SniffSource

_LARGEST = 65535
_UNABLE = 3


def trace(settings: LiveSettings, output: Output) -> int:
    """Trace until interrupted or for the time asked; answers with the exit code."""
    filter_of(output)
    collector = Collector(settings.node)
    cluster = LiveCluster(settings, collector)
    with closing(cluster):
        return _trace(settings, output, collector, cluster)


def _trace(
    settings: LiveSettings, output: Output, collector: Collector, cluster: LiveCluster
) -> int:
    decisions = Decisions(settings)
    sources: list[Source] = [decisions]
    if settings.packets:
        sniff = SniffSource(settings.interfaces, snap=_snap(settings.record))
        sources.append(sniff if settings.interfaces else Welcome(sniff))
    pipeline = Pipeline(home_netns=own_netns(), max_flows=settings.max_flows, several_clocks=True)
    pipeline.table.sees_requests_only()

    def begin(session: Session) -> None:
        known = cluster.first()
        session.step(pipeline.set_node(collector.collect(known), wall_ns()))
        decisions.watch(None)
        session.step(pipeline.set_cluster(known, wall_ns()))
        for batch in decisions.existing():
            session.step(pipeline.feed(batch))
        _say_ready(settings.ready_file)

    def missing() -> int:
        return len(cluster.problems()) + sum(len(source.problems()) for source in sources)

    beside = Beside(settings, cluster, lambda: decisions.backend, missing)

    def less_rights() -> None:
        if not settings.keep_privileges:
            decisions.last_probes()
            give_up(needed(), settings.user)

    recorder = _recorder(settings, output, pipeline, decisions)
    seen = settings.health_checks and (output.form == "screen" or settings.record is not None)
    health = LiveHealth(seen, cluster, collector)
    reader = NodeReader(collector, cluster.latest, health.answers)
    verifier, notes = _verifier()
    run = Run(
        sources,
        pipeline,
        live=True,
        title="live",
        begin=begin,
        opened=less_rights,
        backend=lambda: decisions.backend,
        notes=notes,
        duration_s=settings.duration_s,
        verifier=verifier,
        state_readers=(reader, *cluster.readers, *beside.readers, *health.readers),
        problems=lambda: cluster.problems() + beside.problems() + health.problems(),
        names=cluster.told,
        sinks=(*_status(recorder, output), *_interest(decisions, cluster), *beside.sinks),
        recorder=recorder,
    )
    with closing(beside), closing(reader), closing(verifier) if verifier else nullcontext():
        code = play(run, output)
    return _UNABLE if output.form == "none" and recorder and recorder.failed else code


def _status(recorder: RecordSink | None, output: Output) -> tuple[Sink, ...]:
    return (StatusLine(recorder),) if recorder and output.form == "none" else ()


def _interest(decisions: Decisions, cluster: LiveCluster) -> tuple[Sink, ...]:
    return (Interest(decisions.watch),) if cluster.expected else ()


def _snap(record: RecordSettings | None) -> int:
    """Bytes of a packet worth receiving."""
    if record is None:
        return DEFAULT_SNAP
    wanted = record.snap or (DEFAULT_SNAP if record.payload >= 0 else _LARGEST)
    return wanted if record.payload < 0 else max(wanted, DEFAULT_SNAP)


def _recorder(
    settings: LiveSettings, output: Output, pipeline: Pipeline, decisions: Decisions
) -> RecordSink | None:
    if settings.record is None:
        return None
    # Text under a screen would spoil it, and the screen has its own place for problems.
    say = (lambda _: None) if output.form == "screen" else complain
    # A filter beside a screen or lines is about what they show: all of it is recorded.
    chosen = filter_of(output) if output.form == "none" else None
    record = settings.record
    return recorder_of(record, pipeline, lambda: decisions.backend, say, chosen=chosen)


def _verifier() -> tuple[TableVerifier | None, tuple[str, ...]]:
    """Who asks conntrack about silent flows; what is said when nobody may."""
    try:
        return TableVerifier(), ()
    except UnableError as error:
        return None, (f"silent flows are not checked against conntrack: {error.why}",)


class Decisions:
    """The source of the kernel's decisions: probes where they can run, else conntrack."""

    name = "decisions"

    def __init__(self, settings: LiveSettings) -> None:
        self.backend = ""
        """``bpf`` or ``conntrack``, once open."""
        self._settings = settings
        self._source: KernelSource | ConntrackSource | None = None
        self._missing: list[Problem] = []

    def problems(self) -> list[Problem]:
        """Why it is the lesser mode, and what the chosen source lacks."""
        return self._missing + (self._source.problems() if self._source else [])

    def open(self) -> None:
        """Attach the probes; where that cannot be and need not be, follow conntrack."""
        if self._settings.backend != "conntrack":
            kernel = KernelSource(self._settings, Names())
            try:
                kernel.open()
            except UnableError as error:
                kernel.close()
                if self._settings.backend == "bpf":
                    raise
                self._missing = [Problem(error.what, error.why, error.remedy)]
            else:
                self._source, self.backend = kernel, "bpf"
                return
        source = ConntrackSource(self._settings)
        source.open()
        self._source, self.backend = source, "conntrack"

    def read(self, timeout: float) -> EventBatch | None:
        """What the chosen source has."""
        return self._source.read(timeout) if self._source else None

    def watch(self, prefixes: Iterable[tuple[bytes, int]] | None) -> None:
        """Addresses that matter even untranslated; None means all."""
        if isinstance(self._source, KernelSource):
            self._source.set_watched(prefixes)

    def last_probes(self) -> None:
        """From now on no probe can be attached."""
        if isinstance(self._source, KernelSource):
            self._source.last_probes()

    def existing(self) -> list[EventBatch]:
        """Connections older than the probes; conntrack's source lists them itself."""
        if not isinstance(self._source, KernelSource):
            return []
        try:
            return [existing()]
        except UnableError as error:
            self._missing.append(Problem(error.what, error.why, error.remedy))
            return []

    def close(self) -> None:
        """Give everything back."""
        if self._source is not None:
            self._source.close()


class Welcome:
    """A source nobody asked for by name: where it cannot run, that is said and no more."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._missing: list[Problem] = []

    def problems(self) -> list[Problem]:
        """Why it does not run, or what it lacks."""
        return self._missing or self._source.problems()

    def open(self) -> None:
        """Open the source if that can be."""
        try:
            self._source.open()
        except UnableError as error:
            self._missing = [Problem(error.what, error.why, error.remedy)]

    def read(self, timeout: float) -> EventBatch | StateAt | None:
        """What the source has; finished at once if it does not run."""
        return None if self._missing else self._source.read(timeout)

    def close(self) -> None:
        """Give everything back."""
        self._source.close()


def _say_ready(path: Path | None) -> None:
    """Written whole or not at all: someone waits for it to appear."""
    if path is None:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(f"{os.getpid()}\n")
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"Cannot write the ready file {path}.",
            error.strerror or "",
            "Name a file in a folder that exists and can be written to.",
        ) from error
