"""KUBE-IPVS-FILTER has no exception for what a Service needs.

Claims: new connections to health check node ports, or to external addresses with policy
Local, are refused by kube-proxy's own rule.
Evidence: the chain refuses addresses of kube-ipvs0, the exception's rule is not in it,
and a Service that would need it.
Cannot know: whether anybody asks there.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.cluster.model import Service
from tracer.diagnosis.causes.claims import FILTER_REJECTS_LEGIT as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, state_finding
from tracer.diagnosis.wording import plain
from tracer.node.chain_names import ipset_name

CHAIN = "KUBE-IPVS-FILTER"
HEALTH, EXTERNAL = "KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-EXTERNAL-IP-LOCAL"
_MATCH = {HEALTH: "dst", EXTERNAL: "dst,dst"}


class FilterRejectsLegit:
    """Judges the state: the chain's exceptions against what Services need."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service that is refused."""
        for tables in scene.node.xtables:
            chain = tables.tables.get("filter", {}).get(CHAIN)
            if chain is None or not any("-j REJECT" in line for line in chain.lines):
                continue
            for name in (HEALTH, EXTERNAL):
                wanted = ipset_name(name, tables.ipv6)
                if any(f"--match-set {wanted} " in line for line in chain.lines):
                    continue
                for service in scene.cluster.services:
                    if _needs(service, name) and not tables.ipv6:
                        yield _finding(scene, service, name)


def _needs(service: Service, name: str) -> bool:
    if name == HEALTH:
        return bool(service.health_check_node_port and service.load_balancer_ips)
    return service.external_policy == "Local" and bool(service.external_ips)


def _finding(scene: Scene, service: Service, name: str) -> Finding:
    what = (
        f"its health check node port {service.health_check_node_port}"
        if name == HEALTH
        else "its external addresses (policy Local)"
    )
    known = [chain for _, chain in chains(scene, "filter") if chain.name == CHAIN]
    return state_finding(
        scene,
        CAUSE,
        Subject(service=service.key),
        summary=f"{CHAIN} refuses Service {plain(service.key)} at {what}: no exception for {name}",
        evidence=(
            Evidence("rule", f"{CHAIN}: {len(known[0].lines)} rules, none with set {name}"),
            Evidence("object", f"Service {plain(service.key)} needs it for {what}"),
        ),
        remedy=CAUSE.steps(set=name, match=_MATCH[name]),
    )
