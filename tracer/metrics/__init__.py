"""Prometheus metrics of a run: counts by Service and cause, never by flow.

``counts`` adds up what the pipeline tells, in columns; once a second it hands out an
immutable ``Figures``. ``families`` turns that into metric families when somebody asks;
``server`` answers over HTTP. The pipeline never waits for a scrape.
"""

from __future__ import annotations

from tracer.metrics.counts import MetricsSink
from tracer.metrics.server import MetricsServer, place_of

__all__ = ["MetricsServer", "MetricsSink", "place_of"]
