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

from tracer.cluster.model import Service, ServicePort
from tracer.diagnosis.causes.policies import NODE_NAME_MISMATCH as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, proxy_tables, state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import listed, plain
from tracer.node.chain_names import port_label

_SETS = ("no-endpoint-services", "no-endpoint-nodeports")


class NodeNameMismatch:
    """Judges the state: what the rules call local against the EndpointSlices."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        node = this_node(scene)
        if not node or not {"xtables", "nft"} & scene.node.known:
            return
        here = list(_with_local_endpoints(scene, node))
        denied = _denied(scene)
        wrong = [label for label in here if label in denied]
        if wrong and len(wrong) == len(here):
            yield state_finding(
                scene,
                CAUSE,
                Subject(node=node),
                confidence=0.85 if len(wrong) > 1 else 0.65,
                summary=(
                    f"the rules of node {plain(node)} know none of its own endpoints: "
                    f"{listed(wrong[:3], 'none')} have some here, policy Local drops them"
                ),
                evidence=[
                    Evidence("rule", f"{plain(label)} has no local endpoints, say the rules")
                    for label in wrong[:4]
                ]
                + [
                    Evidence(
                        "object", f"EndpointSlices: {plain(label)} has an endpoint on {plain(node)}"
                    )
                    for label in wrong[:4]
                ],
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
