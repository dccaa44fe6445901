"""Clients outside the cluster that were sent to another node with their own address."""

from __future__ import annotations

import numpy as np

from tracer.address import packed_at
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import this_node
from tracer.flow import Rows, Seen


def sent_on_unmasked(scene: Scene, rows: Rows) -> signs.Mask:
    """Never answered, source kept, the endpoint on another node, the client in no cluster.

    None while it is not known which node this is.
    """
    flows, node = scene.table.flows, this_node(scene)
    lost = signs.has(flows, rows, Seen.TRANSLATED) & (flows["service"][rows] >= 0)
    lost &= ~signs.has(flows, rows, signs.REFUSED | Seen.CT_FAILED | Seen.NO_ROUTE)
    # The client's own kernel drops the answer it did not expect: seen where it is ours as well.
    lost &= ~(signs.has(flows, rows, Seen.DROPPED) & drops.on_this_node(scene, rows))
    lost &= signs.same(flows["source"][rows], flows["client"][rows])
    if not node or not lost.any():
        return np.zeros(len(rows), dtype=np.bool_)
    lost &= signs.silent(scene, rows)
    where = rows[lost]
    clients = places.distinct(scene, where, "client")
    outside = frozenset(
        ip for ip in clients - places.own(scene) if not places.of_cluster(scene.cluster, ip)
    )
    remote = places.on_other_node(scene, places.distinct(scene, where, "backend"), node)
    lost &= signs.among(flows["client"][rows], outside)
    return lost & signs.among(flows["backend"][rows], remote)


def node_of(scene: Scene, row: int) -> str:
    """Name of the node behind a row's backend; empty when nothing says so."""
    backend = packed_at(scene.table.flows["backend"], row)
    found = {e.node for e in scene.cluster.endpoints if e.ip == backend and e.node}
    pod = scene.cluster.pod_by_address.get(backend)
    return min(found, default=pod.node if pod else "")
