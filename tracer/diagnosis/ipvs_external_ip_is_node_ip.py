"""A Service's external or load balancer address is a node's own, in ipvs mode.

Claims: packets for that node, on every port, are delivered to the sender itself
(or, coming from that node, taken for spoofed), because the address is bound on
``kube-ipvs0``.
Evidence: the device's addresses among those of the cluster's Nodes; from the
cluster alone the Services' addresses, as kube-proxy binds them in ipvs mode; per
flow local delivery, a reset or ICMP error of this kernel, or a packet whose source
and destination are the same address.
Cannot know: whether other nodes hold the address as well, unless they are traced
(once this node has given back those of others, the rest is taken to be mended);
and nothing in iptables or nftables mode, where the same Service is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tracer.address import text
from tracer.cluster.model import Node, Service
from tracer.diagnosis import signs
from tracer.diagnosis.causes.addresses import EXTERNAL_IP_IS_NODE_IP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import flow_finding, this_node
from tracer.diagnosis.wording import (
    MAX_FLOW_LINES,
    flow_subject,
    flow_text,
    listed,
    plain,
    prefix,
    service_word,
)
from tracer.flow import Rows, Seen
from tracer.node.model import IPVS_DEVICE

_LOCALLY = Seen.LOCAL_IN | Seen.RST_LOCAL | Seen.RST_BEFORE_ANSWER | Seen.ICMP_REFUSED


@dataclass(frozen=True, slots=True)
class Claim:
    """One node address that a Service takes."""

    address: bytes
    owner: Node
    service: Service | None
    """None when the Service is gone and the address was left behind."""
    field: str
    """Where the Service names the address."""
    bound: bool
    """Seen on this node's ``kube-ipvs0``; else concluded from the Service."""
    diverts: bool
    """Whether this node is one of those that deliver to themselves."""

    @property
    def where(self) -> str:
        """Who claims it, in words."""
        if self.service is None:
            return "a Service that no longer exists"
        return f"Service {plain(self.service.key)} ({self.field})"


def claims(scene: Scene) -> Iterator[Claim]:
    """Every node address that a Service takes away, in a stable order."""
    owners, node = scene.cluster.node_by_address, scene.node
    for address in sorted(node.ipvs_addresses & owners.keys()):
        service, field = _claimant(scene, address)
        diverts = address not in node.local_addresses
        yield Claim(address, owners[address], service, field, bound=True, diverts=diverts)
    if node.proxy_mode == "ipvs":
        yield from _claims_of_services(scene)


def _claims_of_services(scene: Scene) -> Iterator[Claim]:
    """What kube-proxy does on nodes this one cannot see, and here while addresses are unknown."""
    owners, node = scene.cluster.node_by_address, scene.node
    taken = {ip for service in scene.cluster.services for ip, _ in _bound_by(service)}
    for address in sorted((taken & owners.keys()) - node.ipvs_addresses):
        owner = owners[address]
        known = "addresses" in node.known
        if known and address not in node.local_addresses:
            continue
        service, field = _claimant(scene, address)
        if known and service is not None and _given_back(scene, service):
            continue
        here = this_node(scene)
        diverts = not known and bool(here) and owner.name != here
        yield Claim(address, owner, service, field, bound=False, diverts=diverts)


def _given_back(scene: Scene, service: Service) -> bool:
    """Whether the recovery was done here: other nodes' addresses it names are not bound."""
    taken = {ip for ip, _ in _bound_by(service)} & scene.cluster.node_by_address.keys()
    of_others = taken - scene.node.local_addresses
    return bool(of_others) and not of_others & scene.node.ipvs_addresses


def _bound_by(service: Service) -> Iterator[tuple[bytes, str]]:
    """Addresses besides the cluster IPs that kube-proxy binds for a Service, and their field."""
    for address in service.external_ips:
        yield address, "externalIPs"
    modes = service.load_balancer_modes or ("VIP",) * len(service.load_balancer_ips)
    for address, mode in zip(service.load_balancer_ips, modes, strict=False):
        if mode != "Proxy":
            yield address, "load balancer address"


def _claimant(scene: Scene, address: bytes) -> tuple[Service | None, str]:
    for service in sorted(scene.cluster.services, key=lambda service: service.key):
        for claimed, field in _bound_by(service):
            if claimed == address:
                return service, field
        if address in service.cluster_ips:
            return service, "clusterIPs"
    return None, ""


def _subject(claim: Claim) -> Subject:
    return Subject(service=claim.service.key if claim.service else None, address=claim.address)


def _summary(claim: Claim) -> str:
    taken = f"node IP {text(claim.address)} ({plain(claim.owner.name)})"
    if claim.bound:
        return (
            f"{taken} is bound on {IPVS_DEVICE} by {claim.where}: "
            "packets for it are delivered to this node itself"
        )
    return (
        f"{taken} is claimed by {claim.where}: every node in ipvs mode but its owner binds it on "
        f"{IPVS_DEVICE} and delivers packets for it to itself"
    )


def _remedy(scene: Scene, claim: Claim) -> tuple[str, ...]:
    """The recovery in order, with this cluster's names and every node address to remove."""
    owners, nodes = scene.cluster.node_by_address, scene.cluster.nodes
    taken = {claim.address}
    if claim.service is not None:
        taken |= {ip for ip, _ in _bound_by(claim.service)} & owners.keys()
    namespace, name = service_word(claim.service.key if claim.service else "/")
    steps = CAUSE.steps(
        masters=listed((n.name for n in nodes if n.control_plane), "all of them"),
        workers=listed((n.name for n in nodes if not n.control_plane), "all of them, if any"),
        remove="; ".join(f"ip addr del {prefix(ip)} dev {IPVS_DEVICE}" for ip in sorted(taken)),
        namespace=namespace,
        name=name,
    )
    return steps if claim.service else tuple(s for s in steps if "kubectl delete" not in s)


def _evidence(claim: Claim) -> tuple[Evidence, ...]:
    lines = []
    if claim.bound:
        lines.append(Evidence("kernel", f"{IPVS_DEVICE} holds {prefix(claim.address)}"))
    owner = f"Node {plain(claim.owner.name)} has address {text(claim.address)}"
    lines.append(Evidence("object", owner))
    if claim.service is not None:
        named = f"{claim.where} contains {text(claim.address)}"
        lines.append(Evidence("object", named))
    return tuple(lines)


class NodeAddressClaimed:
    """Judges the state: before any flow is lost."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each address taken."""
        since = scene.now_ns or scene.node.at_ns or scene.cluster.at_ns
        for claim in claims(scene):
            yield Finding(
                cause=CAUSE.id,
                severity=CAUSE.severity,
                confidence=1.0 if claim.bound else 0.9,
                since_ns=since,
                subject=_subject(claim),
                summary=_summary(claim),
                evidence=_evidence(claim),
                remedy=_remedy(scene, claim),
                count=0,
            )


class DeliveredToItself:
    """Judges flows: what was meant for another node and stayed here."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each address taken that these flows hit."""
        diverted = [claim for claim in claims(scene) if claim.diverts]
        if not diverted:
            return
        addresses = frozenset(claim.address for claim in diverted)
        rows = signs.in_order(scene.table.flows, rows)
        inbound = _taken_for_spoofed(scene, rows, addresses)
        outbound = _kept_here(scene, rows) & ~inbound
        flows = scene.table.flows
        for claim in diverted:
            only = frozenset((claim.address,))
            out = rows[outbound & signs.among(flows["virtual"][rows], only)]
            come = rows[inbound & signs.among(flows["client"][rows], only)]
            hit = np.concatenate((out, come))
            if hit.size:
                yield _about(scene, claim, hit, out, come), hit

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the address is the node's alone again."""
        return any(claim.address == finding.subject.address for claim in claims(scene))


def _kept_here(scene: Scene, rows: Rows) -> signs.Mask:
    """Not balanced by IPVS, and delivered or refused by this machine, or never answered."""
    flows = scene.table.flows
    balanced = signs.has(flows, rows, Seen.TRANSLATED | Seen.IPVS_NEW)
    answered = signs.answered(flows, rows)
    to_itself = signs.same(flows["client"][rows], flows["virtual"][rows])
    served = answered & (flows["service"][rows] >= 0)
    witnessed = (signs.has(flows, rows, _LOCALLY) | to_itself) & ~served
    stayed = ~balanced & (witnessed | signs.silent(scene, rows))
    return stayed & signs.witnessed(flows, rows)


def _taken_for_spoofed(scene: Scene, rows: Rows, addresses: frozenset[bytes]) -> signs.Mask:
    """Coming from the other node, and dropped because the source is one's own address."""
    flows = scene.table.flows
    foreign = signs.among(flows["client"][rows], addresses) & ~signs.among(
        flows["virtual"][rows], addresses
    )
    lost = signs.has(flows, rows, Seen.DROPPED) & ~signs.answered(flows, rows)
    return foreign & (lost | signs.silent(scene, rows))


def _about(scene: Scene, claim: Claim, hit: Rows, out: Rows, come: Rows) -> Finding:
    here, owner = plain(this_node(scene)) or "this node", plain(claim.owner.name)
    lines = [
        f"packets for node {owner} delivered locally on node {here}: {flow_text(scene, int(row))}"
        for row in out[:MAX_FLOW_LINES]
    ] + [
        f"packets from node {owner} taken for spoofed on node {here}: {flow_text(scene, int(row))}"
        for row in come[:MAX_FLOW_LINES]
    ]
    subject = _subject(claim)
    example = flow_subject(scene, int(hit[0]))
    return flow_finding(
        scene,
        CAUSE,
        Subject(subject.service, subject.address, None, example),
        hit,
        confidence=1.0 if claim.bound else 0.9,
        summary=_summary(claim),
        evidence=tuple(Evidence("kernel", line) for line in lines),
        remedy=_remedy(scene, claim),
    )
