"""Flows to an endpoint that had left the slices of its Service when they began."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tracer.cells import Flows, Hit
from tracer.cluster.lookup import KeyTable, rest, rest_of
from tracer.cluster.model import AHEAD_NS, Cluster
from tracer.flow import Seen


def departed_s(
    flows: Flows, cluster: Cluster, hit: Callable[[int], Hit | None]
) -> Sequence[float | None]:
    """Seconds between an endpoint's departure and the flow's begin, row by row.

    None where the endpoint was in the slices or about to return to them, where its departure
    was not watched, and where the flow is older than this run.
    """
    found: list[float | None] = [None] * len(flows)
    if not cluster.absences:
        return found
    table = KeyTable(
        {(ip, rest_of(port, protocol)): 1 for _, protocol, ip, port in cluster.absences}
    )
    suspects = table.find(flows["backend"], rest(flows["backend_port"], flows["protocol"])) > 0
    watched = (flows["seen"] & np.uint32(Seen.EXISTING)) == 0
    for row in np.flatnonzero(suspects & watched).tolist():
        found[row] = _since(flows, row, cluster, hit)
    return found


def _since(
    flows: Flows, row: int, cluster: Cluster, hit: Callable[[int], Hit | None]
) -> float | None:
    service = hit(int(flows["service"][row]))
    if service is None:
        return None
    where = flows["backend"][row].tobytes(), int(flows["backend_port"][row])
    key = f"{service.namespace}/{service.name}", int(flows["protocol"][row]), *where
    began = int(flows["first_ns"][row])
    for left, back in cluster.absences.get(key, ()):
        if left < began < back - AHEAD_NS:
            return round((began - left) / 1e9, 3)
    return None
