"""Whom rows are about: groups of flows that ask the same Service at the same address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracer.address import endpoint, packed_at
from tracer.cluster.model import Endpoint, Service, ServiceKind
from tracer.diagnosis import signs
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.wording import flow_subject, plain
from tracer.enrich import ServiceHit
from tracer.flow import Rows, Seen


@dataclass(frozen=True, slots=True)
class Group:
    """Rows with one destination."""

    hit: ServiceHit | None
    """The Service port they ask for, where the cluster is known."""
    virtual: bytes
    port: int
    rows: Rows

    @property
    def name(self) -> str:
        """What the group asks for, in words."""
        asked = endpoint(self.virtual, self.port)
        if self.hit is None:
            return asked
        what = "Service" if self.service_key else "the host port of pod"
        return f"{what} {plain(self.hit.key)} ({asked})"

    @property
    def service_key(self) -> str | None:
        """``namespace/name`` of the Service; None for host ports and where none is known."""
        if self.hit is None or self.hit.kind == ServiceKind.HOST_PORT:
            return None
        return self.hit.key

    def service(self, scene: Scene) -> Service | None:
        """The Service asked for."""
        return scene.cluster.services_by_key.get(self.service_key or "")

    def usable(self, scene: Scene) -> tuple[Endpoint, ...]:
        """What kube-proxy can choose from for this port."""
        if self.hit is None or self.service_key is None:
            return ()
        return scene.cluster.usable_endpoints(self.service_key, self.hit.port_name)

    def subject(self, scene: Scene, address: bytes | None = None) -> Subject:
        """The Service, or the address where no Service is known; with an example flow."""
        service = self.service_key
        known = address if service else (address or self.virtual)
        flow = flow_subject(scene, int(self.rows[0]))
        return Subject(service=service, address=known, flow=flow)


def by_destination(scene: Scene, rows: Rows) -> Iterator[Group]:
    """Rows grouped by Service port and address asked for; one turn per distinct destination."""
    if not rows.size:
        return
    flows = scene.table.flows
    rows = signs.in_order(flows, rows)
    numbers = flows["service"][rows]
    key = np.column_stack(
        (
            numbers.astype(np.uint64),
            flows["virtual"][rows],
            np.where(numbers < 0, flows["virtual_port"][rows], 0).astype(np.uint64),
        )
    )
    virtual, port = flows["virtual"], flows["virtual_port"]
    for group in _alike(rows, key):
        first = int(group[0])
        service = int(flows["service"][first])
        hit = scene.enricher.hit(service) if service >= 0 else None
        yield Group(hit, packed_at(virtual, first), int(port[first]), group)


def _alike(rows: Rows, key: npt.NDArray[np.uint64]) -> Iterator[Rows]:
    """At least one row, in groups with equal words, by these words; in their order within one."""
    order = np.lexsort(key.T[::-1])
    ordered = key[order]
    changes = (ordered[1:] != ordered[:-1]).any(axis=1)
    return iter(np.split(rows[order], np.flatnonzero(changes) + 1))


def by_backend(scene: Scene, group: Group) -> Iterator[Group]:
    """The same group in parts, one for each backend that was chosen."""
    if not group.rows.size:
        return
    flows = scene.table.flows
    ports = flows["backend_port"][group.rows].astype(np.uint64)
    key = np.column_stack((flows["backend"][group.rows], ports))
    for rows in _alike(group.rows, key):
        yield Group(group.hit, group.virtual, group.port, rows)


def by_node(scene: Scene, rows: Rows) -> Iterator[tuple[Subject, Rows]]:
    """All rows under this node; where its name is not known, those of each destination."""
    if not rows.size:
        return
    node = this_node(scene)
    if node:
        rows = signs.in_order(scene.table.flows, rows)
        yield Subject(node=node, flow=flow_subject(scene, int(rows[0]))), rows
        return
    for group in by_destination(scene, rows):
        yield group.subject(scene), group.rows


def concerning(scene: Scene, rows: Rows) -> signs.Mask:
    """Rows that are traffic of the cluster: translated, to a Service, or of a named peer.

    Where no cluster is known nothing can be ruled out.
    """
    flows = scene.table.flows
    if not scene.cluster.services and not scene.cluster.nodes:
        return np.ones(len(rows), dtype=np.bool_)
    return np.asarray(
        (flows["service"][rows] >= 0)
        | (flows["client_name"][rows] > 0)
        | (flows["backend_name"][rows] > 0)
        | signs.has(flows, rows, Seen.TRANSLATED)
    )


def this_node(scene: Scene) -> str:
    """Name of the node whose kernel is watched; empty when it is not known."""
    if scene.node.node_name:
        return scene.node.node_name
    owners = scene.cluster.node_by_address
    names = {owners[ip].name for ip in scene.node.local_addresses if ip in owners}
    return names.pop() if len(names) == 1 else ""


def flow_finding(
    scene: Scene,
    cause: Cause,
    subject: Subject,
    rows: Rows,
    *,
    confidence: float,
    summary: str,
    evidence: tuple[Evidence, ...],
    remedy: tuple[str, ...],
    severity: Severity | None = None,
) -> Finding:
    """A finding about these rows, with their times and number."""
    flows = scene.table.flows
    return Finding(
        cause=cause.id,
        severity=severity or cause.severity,
        confidence=round(confidence, 2),
        since_ns=int(signs.started(flows, rows).min()),
        subject=subject,
        summary=summary,
        evidence=evidence,
        remedy=remedy,
        count=len(rows),
        last_ns=int(flows["last_ns"][rows].max()),
    )


def since_lost(scene: Scene, finding: Finding, rows: Rows) -> Finding:
    """The same from when these were last seen: until they broke off the connections worked."""
    lost_ns = scene.table.flows["last_ns"][rows]
    return replace(finding, since_ns=int(lost_ns.min()), last_ns=int(lost_ns.max()))


def answered_since(scene: Scene, finding: Finding, quiet_ns: int = 0) -> bool:
    """Whether the destination answers again: a request after the last failure was answered.

    With ``quiet_ns`` the failures must also have stopped for that long, because one
    answer says little where several backends share an address.
    """
    flow = finding.subject.flow
    if flow is None or scene.now_ns - finding.last_ns < quiet_ns:
        return False
    latest = scene.answered.get((flow.protocol, flow.dst, flow.dst_port), 0)
    return latest > finding.last_ns
