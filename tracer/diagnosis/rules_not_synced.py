"""The node's rules against the cluster: Services, endpoints, shares, sets and addresses.

Claims: the kernel serves something else than kube-proxy should have written.
Evidence: what iptables, nftables or IPVS make of every Service address and node port,
beside Services and EndpointSlices; members of ipvs mode's sets, addresses on kube-ipvs0.
Cannot know: whether kube-proxy is just about to write it; a live audit looks twice.
Where topology hints stand, any of the endpoints are taken to be right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tracer.diagnosis.causes.audited import RULES_NOT_SYNCED as CAUSE
from tracer.diagnosis.causes.cause import in_mode
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain, word
from tracer.drift.compare import compared
from tracer.drift.difference import WHOLE_NODE, Difference, Turn
from tracer.drift.wanted import programmed_for

MANY = 0.25
"""Part of the Services from which on the node is to blame, not each Service."""
FEW = 5
SHOWN = 10
_HARMLESS = frozenset({Turn.SET_LEFT, Turn.UNEVEN})


class RulesNotSynced:
    """Judges the state: everything that is programmed, and everything that should be."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service that suffers, or one for the node where many do."""
        found = compared(scene.node, scene.cluster, this_node(scene))
        of_services: dict[str, list[Difference]] = defaultdict(list)
        of_node: list[Difference] = []
        for one in filter(_mine, found):
            (of_services[one.service] if one.service else of_node).append(one)
        programmed = sum(map(programmed_for, scene.cluster.services))
        if len(of_services) > max(FEW, MANY * programmed):
            of_node += [one for those in of_services.values() for one in those]
            yield _of_node(scene, of_node, len(of_services), programmed)
            return
        if of_node:
            yield _of_node(scene, of_node, 0, programmed)
        for key, those in of_services.items():
            yield _of_service(scene, key, those)


def _mine(found: Difference) -> bool:
    """Virtual servers of nobody have a cause of their own: others than kube-proxy make them."""
    return found.turn is not Turn.LEFT or not found.by.startswith("virtual server")


def _of_node(scene: Scene, found: list[Difference], services: int, programmed: int) -> Finding:
    found.sort(key=lambda one: list(Turn).index(one.turn))
    node = this_node(scene)
    where = f"node {plain(node)}" if node else "this node"
    grave = found[0].turn in WHOLE_NODE
    if grave:
        told = f"{found[0].turn.value} on {where}: {found[0].told or found[0].what}"
    elif services:
        told = f"{where} does not serve {services} of {programmed} Services as the cluster says"
    else:
        told = f"rules on {where} differ from what kube-proxy keeps: {_counted(found)}"
    severity = Severity.CRITICAL if grave else _severity(found)
    return _finding(scene, Subject(node=node or None), told, found, severity)


def _of_service(scene: Scene, key: str, found: list[Difference]) -> Finding:
    first = found[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    told = f"Service {plain(key)} is not served as the cluster says: {plain(first.what)}"
    told += f": {plain(first.told)}{more}"
    return _finding(scene, Subject(service=key), told, found, _severity(found))


def _severity(found: Sequence[Difference]) -> Severity:
    """Info where no request goes astray."""
    astray = any(one.turn not in _HARMLESS for one in found)
    return Severity.WARNING if astray else Severity.INFO


def _finding(
    scene: Scene, subject: Subject, told: str, found: list[Difference], severity: Severity
) -> Finding:
    node = this_node(scene)
    return state_finding(
        scene,
        CAUSE,
        subject,
        summary=told,
        evidence=list(_evidence(found)),
        remedy=in_mode(CAUSE.steps(node=word(node) if node else "<node>"), scene.node.proxy_mode),
        confidence=0.9,
        severity=severity,
    )


def _evidence(found: Sequence[Difference]) -> Iterator[Evidence]:
    for one in found[:SHOWN]:
        by = f" ({plain(one.by)})" if one.by else ""
        kind = "ipvs" if one.by.startswith("virtual server") else "rule"
        told = f"{one.turn.value}: {plain(one.what)}: {plain(one.told)}{by}"
        yield Evidence(kind, told)
    if len(found) > SHOWN:
        yield Evidence("rule", f"{len(found)} differences in all: {_counted(found)}")


def _counted(found: Sequence[Difference]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for one in found:
        counts[one.turn.value] += 1
    return ", ".join(f"{number} {told}" for told, number in counts.items())
