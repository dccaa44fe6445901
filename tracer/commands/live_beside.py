"""Whom a live run tells beside its screen, lines and recording: Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from tracer.settings import LiveSettings
from tracer.sinks import Sink


class Beside:
    """What was asked for beside the output; all of it is ready before anything is attached."""

    def __init__(
        self, settings: LiveSettings, backend: Callable[[], str], missing: Callable[[], int]
    ) -> None:
        """``backend`` and ``missing`` (things to do without) are asked as the run goes on."""
        self.sinks: tuple[Sink, ...] = ()
        self._closers: list[Callable[[], None]] = []
        if settings.metrics:
            self._serve(settings.metrics, backend, missing)

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
