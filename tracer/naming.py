"""The meaning of a pipeline's numbers, for whoever shows its rows."""

from __future__ import annotations

from tracer import address
from tracer.cells import Naming
from tracer.departed import departed_s
from tracer.pipeline import Pipeline
from tracer.tunnels import TunnelEnds


def naming_of(pipeline: Pipeline) -> Naming:
    """Service, name and text look-ups as they stand now."""
    return Naming(
        hit=pipeline.enricher.hit,
        name=pipeline.names.text,
        text=pipeline.texts.text,
        tunnel=lambda number: _tunnel(pipeline, number),
        node=pipeline.node.node_name,
        now_ns=pipeline.now_ns,
        # The lowest bit of the column is the engine's own.
        departed_s=lambda flows: departed_s(flows, pipeline.cluster, pipeline.enricher.hit),
        finding=lambda mark: pipeline.findings.by_serial(mark >> 1) if mark else None,
    )


def _tunnel(pipeline: Pipeline, number: int) -> TunnelEnds | None:
    """A tunnel with the names that its ends have now."""
    carrier = pipeline.table.carrier(number)
    if carrier is None:
        return None
    ends = (carrier.one, carrier.other)
    numbers = pipeline.enricher.names_of(address.column(ends)).tolist()
    one, other = map(pipeline.names.text, numbers)
    return TunnelEnds(carrier, one, other)
