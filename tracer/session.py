"""The only threads of a run: readers fill one inbox, one thread owns the pipeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from tracer.cluster.model import Cluster
from tracer.events import EventBatch
from tracer.flow import Rows
from tracer.inbox import Inbox
from tracer.node.model import NodeState
from tracer.pipeline import Pipeline, Update
from tracer.recording import StateAt
from tracer.sinks import Sink
from tracer.sources import Problem, Source
from tracer.view import Snapshot, Standing, View, ViewQuery

READ_TIMEOUT_S = 0.1
SMALL_BATCH = 1024
GATHER_S, MOST_GATHERED_S = 0.02, 0.25
"""A live reader with little to tell waits for more: each batch has a price."""
REST = 20.0
"""It waits this many times as long as its last batch has cost it of a processor, and so does who
handles them: with little traffic a run takes a twentieth of one; on a slow machine more."""
LAST_READS = 100
"""Batches taken from a source after the stop, as far as it has any."""
SUSPECT_AFTER_NS = 1_500_000_000
SUSPECT_EVERY_S = 0.5


class Verifier(Protocol):
    """Asks the kernel's own table about flows that seem unanswered."""

    def lookup(self, pipeline: Pipeline, rows: Rows) -> EventBatch | None:
        """The present conntrack state of these flows as CT_UPDATE records."""


class Recorder(Sink, Protocol):
    """A sink whose failures are worth knowing while the run goes on."""

    def problems(self) -> list[Problem]:
        """Why the recording ended early."""


class StateReader(Protocol):
    """Follows the node or the cluster, in a thread of its own."""

    def poll(self, timeout: float) -> NodeState | Cluster | None:
        """A new state, or None when nothing changed within ``timeout`` seconds."""


Input = EventBatch | StateAt | NodeState | Cluster | BaseException | None
"""What readers put into the queue; None says that one of them has finished."""


class Session:
    """One run, live or replayed."""

    def __init__(
        self,
        sources: list[Source],
        pipeline: Pipeline,
        sinks: list[Sink],
        *,
        live: bool,
        backend: str = "",
        duration_s: float = 0.0,
        verifier: Verifier | None = None,
        state_readers: Sequence[StateReader] = (),
        recorder: Recorder | None = None,
        summary: Callable[[], dict[str, object]] | None = None,
        beside: Callable[[], list[Problem]] = list,
        standing: Callable[[], Standing] = Standing,
    ) -> None:
        """``beside``: problems of others than sources and recorder.

        ``standing``: what else a screen always shows.
        """
        self.pipeline = pipeline
        self.backend = backend
        self.on_snapshot: Callable[[Snapshot], None] | None = None
        self.on_open: Callable[[], None] | None = None
        """Called once, when every source is open and before any of them is read."""
        self.on_ready: Callable[[], None] | None = None
        """Called once, on the pipeline's thread, when every source is open."""
        self.on_step: Callable[[Update], None] | None = None
        # The recorder comes last: what a screen or a pipe shows does not wait for a disk.
        self._sources, self._live = sources, live
        self._sinks = [*sinks, recorder] if recorder else sinks
        self._recorder = recorder
        self._duration_s, self._verifier = duration_s, verifier
        self._state_readers, self._beside = state_readers, beside
        self._summary = summary or dict
        self._standing = standing
        self._inbox: Inbox[Input] = Inbox(live, states=(NodeState, Cluster))
        self._stopping = threading.Event()
        self._query: ViewQuery | None = None
        self.view = View()
        """Answers ``request``; after the run its owner may ask it, too."""
        self._readers_left = len(sources)
        self._suspects_asked = 0.0
        self._last_found: list[Problem] | None = None
        """What the sources lacked when they were closed: afterwards they have forgotten."""

    def run(self) -> None:
        """Open the sources, run to the end or until ``stop``, write the summary."""
        self._open()
        if self.on_open:
            try:
                self.on_open()
            except BaseException:
                self._close(self._sources)
                raise
        threads = self._start_readers()
        try:
            if self.on_ready:
                self.on_ready()
            self._pump()
        finally:
            self._stopping.set()
            self._join(threads)
            self._last_found = self._of_sources()
            self._close(self._sources)
        self._finish()

    def stop(self) -> None:
        """End the run soon; safe from other threads and from signal handlers."""
        self._stopping.set()

    def answer(self, query: ViewQuery) -> Snapshot:
        """The snapshot for a query; on the pipeline's thread, or after the run."""
        degraded = tuple(str(problem) for problem in self.problems())
        shot = self.view.answer(self.pipeline, query, self.backend, degraded)
        return replace(shot, standing=self._standing())

    def request(self, query: ViewQuery) -> None:
        """Ask for a snapshot; only the latest query is answered, between two batches."""
        self._query = query
        self._inbox.wake()

    def problems(self) -> list[Problem]:
        """What is degraded, over all sources, and a recording that has ended early."""
        found = self._of_sources() if self._last_found is None else self._last_found
        found = found + self._beside()
        return found + self._recorder.problems() if self._recorder else found

    def _of_sources(self) -> list[Problem]:
        return [problem for source in self._sources for problem in source.problems()]

    def step(self, update: Update) -> None:
        """Hand an update to every sink."""
        for sink in self._sinks:
            sink.write(self.pipeline, update)
        if self.on_snapshot:
            self.view.observe(self.pipeline, update)
        if self.on_step:
            self.on_step(update)

    def _open(self) -> None:
        """All sources or none: what was opened is closed when a later one cannot be."""
        for count, source in enumerate(self._sources):
            try:
                source.open()
            except BaseException:
                self._close(self._sources[:count])
                raise

    def _close(self, sources: list[Source]) -> None:
        for source in sources:
            source.close()

    def _join(self, threads: list[threading.Thread]) -> None:
        """Wait for the readers while taking what they still bring."""
        while any(thread.is_alive() for thread in threads):
            self._take(READ_TIMEOUT_S)
        while self._take(0.0):
            pass

    def _start_readers(self) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._read, args=(source,), name=f"read-{source.name}")
            for source in self._sources
        ]
        threads += [
            threading.Thread(target=self._watch, args=(reader,), name=type(reader).__name__)
            for reader in self._state_readers
        ]
        for thread in threads:
            thread.start()
        return threads

    def _read(self, source: Source) -> None:
        """A reader thread: whatever goes wrong in it is handed to the pipeline's thread."""
        try:
            while not self._stopping.is_set():
                begun = time.thread_time()
                batch = source.read(READ_TIMEOUT_S)
                if batch is None:
                    break
                self._inbox.put(self._prepared(batch))
                few = isinstance(batch, EventBatch) and len(batch.records) < SMALL_BATCH
                if self._live and few:
                    self._stopping.wait(max(GATHER_S, _rest(begun)))
            self._read_rest(source)
        except BaseException as error:
            self._inbox.put(error)
        self._inbox.put(None)

    def _prepared(self, item: EventBatch | StateAt) -> EventBatch | StateAt:
        """Half of the work is done here, so that a replay keeps two processors busy.

        Several readers would do it in any order, and live input must be fetched, not pondered.
        """
        if self._live or len(self._sources) > 1 or isinstance(item, StateAt):
            return item
        return self.pipeline.prepared(item)

    def _read_rest(self, source: Source) -> None:
        """What arrived before the stop still counts; a file's rest was not asked for."""
        for _ in range(LAST_READS if self._live else 0):
            batch = source.read(0.0)
            if batch is None or not (isinstance(batch, EventBatch) and len(batch.records)):
                return
            self._inbox.put(batch)

    def _watch(self, reader: StateReader) -> None:
        try:
            while not self._stopping.is_set():
                state = reader.poll(READ_TIMEOUT_S)
                if state is not None:
                    self._inbox.put(state)
        except BaseException as error:
            self._inbox.put(error)

    def _pump(self) -> None:
        ends_at = time.monotonic() + self._duration_s if self._duration_s else float("inf")
        while self._readers_left and not self._stopping.is_set():
            begun = time.thread_time()
            self._take(READ_TIMEOUT_S)
            self._answer()
            self._verify()
            if self._live:
                self._inbox.gather(SMALL_BATCH, _rest(begun))
                self._answer()
            if time.monotonic() >= ends_at:
                self.stop()

    def _take(self, timeout: float) -> bool:
        items = self._inbox.take(timeout)
        for item in items:
            self._handle(item)
        return bool(items)

    def _handle(self, item: Input) -> None:
        if item is None:
            self._readers_left -= 1
        elif isinstance(item, BaseException):
            raise item
        elif isinstance(item, EventBatch):
            self.step(self.pipeline.feed(item))
        elif isinstance(item, StateAt):
            self._learn(item.state, item.at_ns)
        else:
            self._learn(item, item.at_ns)

    def _learn(self, state: NodeState | Cluster, at_ns: int) -> None:
        if isinstance(state, NodeState):
            self.step(self.pipeline.set_node(state, at_ns))
        else:
            self.step(self.pipeline.set_cluster(state, at_ns))

    def _verify(self) -> None:
        """Before silence is judged, ask the kernel whether it was silence."""
        if self._verifier is None or time.monotonic() - self._suspects_asked < SUSPECT_EVERY_S:
            return
        self._suspects_asked = time.monotonic()
        suspects = self.pipeline.suspects(SUSPECT_AFTER_NS)
        if suspects.size:
            batch = self._verifier.lookup(self.pipeline, suspects)
            if batch is not None:
                self.step(self.pipeline.feed(batch))

    def _answer(self) -> None:
        query, self._query = self._query, None
        if query is not None and self.on_snapshot is not None:
            self.on_snapshot(self.answer(query))

    def _finish(self) -> None:
        self.step(self.pipeline.finish())
        summary = self._summary()
        for sink in self._sinks:
            sink.close(self.pipeline, summary)


def _rest(begun: float) -> float:
    """Seconds to wait after what this thread has done since then."""
    return min(MOST_GATHERED_S, REST * (time.thread_time() - begun))
