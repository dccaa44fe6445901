"""Figures as Prometheus metric families, made when somebody asks."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tracer.flow import ENGINE_NAMES
from tracer.metrics.counts import BUCKETS_S, OUTCOMES, Figures
from tracer.plain import harmless

SERVICE = ("namespace", "service", "port", "kind")
_BOUNDS = (*map(str, BUCKETS_S), "+Inf")


class Families(Collector):
    """What a registry collects; ``figures`` gives the latest."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """Nothing is known before the first figures: the registry need not look for twins."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families of one moment."""
        figures = self._figures()
        yield _info(figures)
        yield from _services(figures)
        yield from _findings(figures)
        yield from _run(figures)


def _info(figures: Figures) -> Metric:
    told = {
        "version": importlib.metadata.version("viptrace"),
        "backend": figures.backend,
        "node": harmless(figures.node),
    }
    return InfoMetricFamily("viptrace", "This viptrace, and where it sees decisions.", value=told)


def _services(figures: Figures) -> Iterator[Metric]:
    translations = CounterMetricFamily(
        "viptrace_translations",
        "New connections whose addresses this node translated.",
        labels=(*SERVICE, "engine"),
    )
    connections = CounterMetricFamily(
        "viptrace_connections",
        "Translated connections by what became of them; one that is lost first and answered "
        "when it is repeated counts as both.",
        labels=(*SERVICE, "outcome"),
    )
    waits = HistogramMetricFamily(
        "viptrace_answer_seconds", "From a request to its first answer.", labels=SERVICE
    )
    for place, names in enumerate(figures.services):
        labels = tuple(map(harmless, names))
        for engine, count in enumerate(figures.translations[place]):
            if count:
                translations.add_metric((*labels, ENGINE_NAMES[engine]), count)
        for outcome, count in zip(OUTCOMES, figures.outcomes[place], strict=True):
            connections.add_metric((*labels, outcome), count)
        counts = accumulate(figures.waits[place])
        buckets = [(bound, float(count)) for bound, count in zip(_BOUNDS, counts, strict=True)]
        waits.add_metric(labels, buckets, figures.wait_sums_s[place])
    yield from (translations, connections, waits)


def _findings(figures: Figures) -> Iterator[Metric]:
    standing = GaugeMetricFamily(
        "viptrace_findings_open",
        "Faults that stand now.",
        labels=("cause", "severity", "namespace", "service"),
    )
    for (cause, severity, *names), count in figures.findings_open.items():
        standing.add_metric((cause, severity, *map(harmless, names)), count)
    total = CounterMetricFamily("viptrace_findings", "Faults found.", labels=("cause", "severity"))
    for kind, count in figures.findings_total.items():
        total.add_metric(kind, count)
    drops = CounterMetricFamily(
        "viptrace_drops",
        "Packets of Services and pods that this kernel dropped, by its reason.",
        labels=("reason",),
    )
    for reason, count in figures.drops.items():
        drops.add_metric((harmless(reason),), count)
    yield from (standing, total, drops)


def _run(figures: Figures) -> Iterator[Metric]:
    lost = CounterMetricFamily(
        "viptrace_lost", "Records and packets this viptrace did not get to see.", labels=("where",)
    )
    for where in ("kernel", "socket", "queue"):
        lost.add_metric((where,), getattr(figures.lost, where))
    yield lost
    for name, told, count in (
        ("packets", "Packets looked at.", figures.packets),
        ("events", "Kernel records taken.", figures.events),
        ("damaged", "Records and packets that could not be read.", figures.damaged),
        ("flows_evicted", "Flows forgotten to stay within the memory bound.", figures.evicted),
    ):
        yield CounterMetricFamily(f"viptrace_{name}", told, value=count)
    yield GaugeMetricFamily("viptrace_flows", "Flows remembered.", value=figures.flows)
    yield GaugeMetricFamily(
        "viptrace_degraded", "Things this viptrace has to do without.", value=figures.degraded
    )
