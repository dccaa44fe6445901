"""KUBE-IPVS-FILTER has no exception for what a Service needs.

Claims: new connections to health check node ports, or to external addresses with policy
Local, are refused by kube-proxy's own rule.
Evidence: the chain refuses addresses of kube-ipvs0, the exception's rule is not in it,
and a Service that would need it; requests there that were refused are counted.
Cannot know: whether anybody else asks there. IPv4 only, as far as the lab goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tracer.cluster.model import Service
from tracer.diagnosis import signs
from tracer.diagnosis.causes.claims import FILTER_REJECTS_LEGIT as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, state_finding
from tracer.diagnosis.wording import flow_lines, flow_subject, plain, refusal_text
from tracer.flow import Rows, Seen

CHAIN = "KUBE-IPVS-FILTER"
HEALTH, EXTERNAL = "KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-EXTERNAL-IP-LOCAL"
_MATCH = {HEALTH: "dst", EXTERNAL: "dst,dst"}


class FilterRejectsLegit:
    """Judges the state: the chain's exceptions against what Services need."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service that is refused."""
        for service, name in _without_exception(scene):
            yield _finding(scene, service, name)


class FilterRefused:
    """Explains requests that the chain refused: they belong to what the state says."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service that is refused."""
        flows = scene.table.flows
        refused = signs.has(flows, rows, Seen.ICMP_REFUSED) & ~signs.answered(flows, rows)
        refused &= ~signs.has(flows, rows, Seen.TRANSLATED | Seen.IPVS_NEW)
        rows = rows[refused]
        if not rows.size:
            return
        for service, name in _without_exception(scene):
            health = name == HEALTH
            addresses = service.load_balancer_ips if health else service.external_ips
            mine = signs.among(flows["virtual"][rows], frozenset(addresses))
            if health:
                mine &= flows["virtual_port"][rows] == service.health_check_node_port
            if mine.any():
                yield _with_flows(scene, _finding(scene, service, name), rows[mine]), rows[mine]

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the chain lacks the exception."""
        return any(
            service.key == finding.subject.service for service, _ in _without_exception(scene)
        )


def _without_exception(scene: Scene) -> Iterator[tuple[Service, str]]:
    """Services that the chain refuses, and the set whose exception is missing."""
    for tables in scene.node.xtables:
        chain = tables.tables.get("filter", {}).get(CHAIN)
        if chain is None or tables.ipv6 or not any("-j REJECT" in line for line in chain.lines):
            continue
        for name in (HEALTH, EXTERNAL):
            if not any(f"--match-set {name} " in line for line in chain.lines):
                yield from ((s, name) for s in scene.cluster.services if _needs(s, name))


def _with_flows(scene: Scene, finding: Finding, rows: Rows) -> Finding:
    """The same, with the requests that it hit."""
    flows = scene.table.flows
    told = f"refused with {refusal_text(scene, int(rows[0]))}"
    return replace(
        finding,
        subject=replace(finding.subject, flow=flow_subject(scene, int(rows[0]))),
        evidence=(*finding.evidence, *flow_lines(scene, rows, "kernel", told)),
        since_ns=int(signs.started(flows, rows).min()),
        last_ns=int(flows["last_ns"][rows].max()),
        count=len(rows),
    )


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
