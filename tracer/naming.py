"""The meaning of a pipeline's numbers, for whoever shows its rows."""

from __future__ import annotations

from tracer.cells import Naming
from tracer.pipeline import Pipeline


def naming_of(pipeline: Pipeline) -> Naming:
    """Service, name and text look-ups as they stand now."""
    return Naming(
        hit=pipeline.enricher.hit,
        name=pipeline.names.text,
        text=pipeline.texts.text,
        node=pipeline.node.node_name,
        now_ns=pipeline.now_ns,
        # The lowest bit of the column is the engine's own.
        finding=lambda mark: pipeline.findings.by_serial(mark >> 1) if mark else None,
    )
