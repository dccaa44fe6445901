"""Addresses of Services, and requests to them that no Service port takes."""

from __future__ import annotations

import numpy as np

from tracer.cluster.model import Service
from tracer.diagnosis import places, signs
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.wording import protocol_name
from tracer.flow import Rows


def service_at(scene: Scene, address: bytes) -> Service | None:
    """The Service whose alone an address is: no node's, no pod's."""
    cluster = scene.cluster
    shared = address in cluster.node_by_address or address in cluster.pod_by_address
    if shared or address in scene.node.local_addresses:
        return None
    return cluster.service_by_address.get(address)


def unserved(scene: Scene, rows: Rows) -> signs.Mask:
    """Requests to a Service's address that no Service port and no rule took."""
    flows = scene.table.flows
    astray = flows["service"][rows] < 0
    astray &= signs.same(flows["virtual"][rows], flows["backend"][rows])
    if not astray.any() or not scene.cluster.services:
        return np.zeros(len(rows), dtype=np.bool_)
    asked = places.distinct(scene, rows[astray], "virtual")
    mine = frozenset(ip for ip in asked if service_at(scene, ip))
    return astray & signs.among(flows["virtual"][rows], mine)


def ports_of(service: Service) -> str:
    """``80/tcp, 53/udp``: what it serves."""
    return ", ".join(f"{p.port}/{protocol_name(p.protocol)}" for p in service.ports) or "nothing"
