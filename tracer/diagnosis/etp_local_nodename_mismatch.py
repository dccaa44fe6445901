"""kube-proxy's rules call endpoints remote that are on its own node.

Claims: kube-proxy runs under another name than the node's, so that policy Local keeps
no endpoint here.
Evidence: for every Service with policy Local that has an endpoint on this node, the
rules say that there is none.
Cannot know: the name kube-proxy uses. A single Service whose rules are late looks the
same, with less confidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tracer.cluster.model import Service, ServicePort
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.policies import NODE_NAME_MISMATCH as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, proxy_tables, state_finding
from tracer.diagnosis.subjects import by_destination, flow_finding, this_node
from tracer.diagnosis.wording import flow_lines, listed, plain
from tracer.flow import Rows, Seen
from tracer.node.chain_names import port_label

_SETS = ("no-endpoint-services", "no-endpoint-nodeports")


class NodeNameMismatch:
    """Judges the state: what the rules call local against the EndpointSlices."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        wrong = _wrong(scene)
        if wrong:
            yield _finding(scene, wrong)


class EndpointDenied:
    """Judges flows that such rules drop."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node."""
        flows = scene.table.flows
        lost = drops.by_netfilter(scene, rows) | signs.silent(scene, rows)
        lost &= ~signs.has(flows, rows, Seen.TRANSLATED) & ~signs.answered(flows, rows)
        lost &= flows["service"][rows] >= 0
        wrong = _wrong(scene) if lost.any() else []
        if not wrong:
            return
        found = _finding(scene, wrong)
        for group in by_destination(scene, rows[lost]):
            hit = group.hit
            if hit and port_label(hit.namespace, hit.name, hit.port_name) in wrong:
                lines = flow_lines(scene, group.rows, "kernel", "dropped, or no answer")
                yield (
                    flow_finding(
                        scene,
                        CAUSE,
                        replace(found.subject, flow=group.subject(scene).flow),
                        group.rows,
                        confidence=found.confidence,
                        summary=found.summary,
                        evidence=found.evidence + lines,
                        remedy=found.remedy,
                    ),
                    group.rows,
                )

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the rules deny endpoints of this node."""
        return bool(_wrong(scene))


def _wrong(scene: Scene) -> list[str]:
    """Labels of the ports that the rules deny, if they deny all there are; else none."""
    node = this_node(scene)
    if not node or not {"xtables", "nft"} & scene.node.known:
        return []
    here = list(_with_local_endpoints(scene, node))
    denied = _denied(scene) if here else frozenset()
    return here if here and denied.issuperset(here) else []


def _finding(scene: Scene, wrong: list[str]) -> Finding:
    node = plain(this_node(scene))
    shown = [plain(label) for label in wrong[:4]]
    says = [Evidence("rule", f"{label} has no local endpoints, say the rules") for label in shown]
    has = [
        Evidence("object", f"EndpointSlices: {label} has an endpoint on {node}") for label in shown
    ]
    return state_finding(
        scene,
        CAUSE,
        Subject(node=this_node(scene)),
        confidence=0.85 if len(wrong) > 1 else 0.65,
        summary=(
            f"the rules of node {node} know none of its own endpoints: "
            f"{listed(wrong[:3], 'none')} have some here, policy Local drops them"
        ),
        evidence=[*says, *has],
        remedy=CAUSE.steps(),
    )


def _with_local_endpoints(scene: Scene, node: str) -> Iterator[str]:
    """Labels of ports with policy Local and a usable endpoint on this node."""
    for service in scene.cluster.services:
        for port in service.ports:
            if _local(service, port):
                usable = scene.cluster.usable_endpoints(service.key, port.name)
                if any(endpoint.node == node for endpoint in usable):
                    yield port_label(service.namespace, service.name, port.name)


def _local(service: Service, port: ServicePort) -> bool:
    outside = bool(port.node_port or service.external_ips or service.load_balancer_ips)
    return service.internal_policy == "Local" or (outside and service.external_policy == "Local")


def _denied(scene: Scene) -> frozenset[str]:
    """Labels of which the rules say that they have no local endpoints."""
    marker = " has no local endpoints"
    found = set()
    for _, chain in chains(scene, "filter"):
        for line in chain.lines:
            before, sign, _ = line.partition(marker)
            if sign:
                found.add(before.rpartition('--comment "')[2])
    for table in proxy_tables(scene):
        for name in _SETS:
            known = table.sets.get(name)
            for key, verdict in known.exact.items() if known else ():
                if _drops(verdict):
                    found.add(known.comments.get(key, "") if known else "")
    return frozenset(found)


def _drops(verdict: object) -> bool:
    return isinstance(verdict, dict) and "drop" in verdict
