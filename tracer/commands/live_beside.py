"""Whom a live run tells beside its screen, lines and recording: Prometheus, Kubernetes."""

from __future__ import annotations

from collections.abc import Callable

from tracer.commands.live_cluster import LiveCluster
from tracer.errors import UnableError
from tracer.session import StateReader
from tracer.settings import LiveSettings
from tracer.sinks import Sink
from tracer.sinks.kube_events import KubeEvents
from tracer.sources import Problem


class Beside:
    """What was asked for beside the output; all of it is ready before anything is attached."""

    def __init__(
        self,
        settings: LiveSettings,
        cluster: LiveCluster,
        backend: Callable[[], str],
        missing: Callable[[], int],
    ) -> None:
        """``backend`` and ``missing`` (things to do without) are asked as the run goes on."""
        self.sinks: tuple[Sink, ...] = ()
        self.readers: tuple[StateReader, ...] = ()
        self._events: KubeEvents | None = None
        self._closers: list[Callable[[], None]] = []
        if settings.events:
            self._tell_kubernetes(cluster)
        if settings.metrics:
            self._serve(settings.metrics, backend, missing)

    def problems(self) -> list[Problem]:
        """What could not be told."""
        return self._events.problems() if self._events else []

    def _tell_kubernetes(self, cluster: LiveCluster) -> None:
        if not cluster.readers:
            raise UnableError(
                "--events needs an API server.",
                "No configuration for one was found, or names come from elsewhere.",
                "Give --kubeconfig FILE, or leave --events out.",
            )
        self._events = KubeEvents(lambda: cluster.connection)
        self.sinks, self.readers = (self._events,), (self._events,)

    def _serve(self, place: str, backend: Callable[[], str], missing: Callable[[], int]) -> None:
        # prometheus_client and its HTTP server: only for those who want metrics.
        from tracer.metrics import MetricsServer, MetricsSink, place_of

        counts = MetricsSink(backend, missing)
        server = MetricsServer(place_of(place), lambda: counts.figures)
        self.sinks = (*self.sinks, counts)
        self._closers.append(server.close)

    def close(self) -> None:
        """Stop answering; safe to call twice."""
        while self._closers:
            self._closers.pop()()
