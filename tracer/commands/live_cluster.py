"""Where a live run has its cluster from: a file, the API server, or nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tracer.cells import duration_text
from tracer.clock import wall_ns
from tracer.cluster.api.connection import Connection
from tracer.cluster.file import load
from tracer.cluster.model import Cluster
from tracer.cluster.watch import Choice, ClusterWatch
from tracer.node.collect import Collector
from tracer.pipeline import Pipeline, Update
from tracer.session import StateReader
from tracer.settings import LiveSettings
from tracer.sources import Problem

FIRST_S = 5.0
"""The first flows wait this long for names, from the start of the program: mostly probes
take as long to attach."""
REWATCH_S = 5.0
"""Seconds between two looks at which addresses concern the cluster."""
_NO_NAMES = Problem(
    "no names",
    "no configuration for an API server was found, and no file was given",
    "--kubeconfig FILE or --cluster FILE",
)
_NAMES_OFF = Problem("no names", "--no-cluster")


class LiveCluster:
    """What Kubernetes says, now and later."""

    def __init__(self, settings: LiveSettings, collector: Collector) -> None:
        self._file = load(settings.cluster) if settings.cluster else None
        self._missing = [_NAMES_OFF] if settings.no_cluster else []
        self._watch: ClusterWatch | None = None
        if self._file is None and not settings.no_cluster:
            choice = Choice(settings.kubeconfig, settings.all_pods, collector.called)
            # A thread that may not change its user would keep the process from changing it.
            if settings.user or settings.keep_privileges:
                choice = replace(choice, keeps_rights=True)
            watch = ClusterWatch(choice, collector.name_in)
            if watch.open():
                self._watch = watch
            else:
                self._missing = [_NO_NAMES]

    @property
    def readers(self) -> tuple[StateReader, ...]:
        """Who tells of later states."""
        return (self._watch,) if self._watch else ()

    @property
    def expected(self) -> bool:
        """Whether there are names, or will be."""
        return self._file is not None or self._watch is not None

    @property
    def connection(self) -> Connection | None:
        """The API server, as far as one has been found by now."""
        return self._watch.connection if self._watch else None

    def first(self) -> Cluster:
        """What is known when tracing begins; it may be nothing yet."""
        if self._watch is not None:
            return self._watch.first(FIRST_S)
        return replace(self._file or Cluster(), at_ns=wall_ns())

    def latest(self) -> Cluster:
        """What is known now."""
        return self._watch.latest if self._watch else self._file or Cluster()

    def told(self) -> str:
        """Where names are from, and for how long the API server has said nothing."""
        if self._watch is None:
            return "file" if self._file is not None else "none"
        heard_ns = self._watch.heard_ns
        return f"API {duration_text(wall_ns() - heard_ns)}" if heard_ns else "API waiting"

    def problems(self) -> list[Problem]:
        """Why names are missing, or old."""
        return self._missing + (self._watch.problems() if self._watch else [])

    def close(self) -> None:
        """Stop following the API server."""
        if self._watch is not None:
            self._watch.close()


class Interest:
    """A sink that prints nothing: it tells the kernel side which addresses concern the cluster."""

    def __init__(self, watch: Callable[[list[tuple[bytes, int]]], None]) -> None:
        self._watch = watch
        self._stale = False
        self._looked_at = float("-inf")

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Look again some time after a new cluster."""
        self._stale |= isinstance(update.took, Cluster)
        now = time.monotonic()
        if self._stale and pipeline.cluster.known and now >= self._looked_at + REWATCH_S:
            self._stale, self._looked_at = False, now
            self._watch(pipeline.enricher.watched_prefixes())

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Nothing is held."""
