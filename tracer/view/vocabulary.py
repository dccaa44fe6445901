"""Names that a filter can ask for, as far as the cluster and the findings tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracer.pipeline import Pipeline

NAMES_SHOWN = 5000


def names_seen(pipeline: Pipeline) -> Mapping[str, tuple[str, ...]]:
    """Values by term of a filter, sorted; names that are not plain text are left out."""
    cluster, findings = pipeline.cluster, pipeline.findings
    services = [service.key for service in cluster.services]
    pods = [pod.key for pod in cluster.pods if not pod.finished]
    nodes = [node.name for node in cluster.nodes]
    causes = [finding.cause for finding in (*findings.open(), *findings.closed())]
    return {
        "service": _sorted(services),
        "pod": _sorted(pods),
        "node": _sorted(nodes),
        "client": _sorted((*pods, *nodes)),
        "backend": _sorted((*pods, *nodes)),
        "cause": _sorted(causes),
    }


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    plain = {name for name in names if name.isascii() and name.isprintable()}
    return tuple(sorted(plain)[:NAMES_SHOWN])
