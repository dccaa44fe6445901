"""A Service has an address of a family of which it has no endpoints.

Claims: connections over that family are refused, while the other one works.
Evidence: the Service's ClusterIPs against the families of its usable endpoints; per flow
a refused or unanswered request over the family without endpoints.
Cannot know: whether anybody uses that family, unless a flow shows it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import is_ipv4, text
from tracer.cluster.model import Endpoint, Service
from tracer.diagnosis import signs
from tracer.diagnosis.causes.drift import IP_FAMILY_MISMATCH as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, plain, service_word
from tracer.flow import Rows, Seen

SETTLING_NS = 10_000_000_000
"""In a rollout the slices of one family change before those of the other."""
_NAMES = {True: "IPv4", False: "IPv6"}


class FamilyWithoutEndpoints:
    """Judges the state: addresses against endpoints."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service; a warning only once somebody was refused."""
        if "endpoints" not in scene.cluster.known:
            return
        for service in scene.cluster.services:
            lacking = _lacking(scene, service)
            if lacking is not None:
                yield _finding(scene, service, v4=lacking)


class FamilyRefused:
    """Judges flows over the family without endpoints."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service."""
        if "endpoints" not in scene.cluster.known:
            return
        flows = scene.table.flows
        told = signs.has(flows, rows, signs.REFUSED | Seen.DROPPED) | signs.silent(scene, rows)
        lost = told & ~signs.answered(flows, rows) & (flows["service"][rows] >= 0)
        lost &= ~signs.has(flows, rows, Seen.TRANSLATED | Seen.RST_BEFORE_ANSWER)
        for group in by_destination(scene, rows[lost]):
            service = group.service(scene)
            if service is None or _lacking(scene, service) != is_ipv4(group.virtual):
                continue
            found = _finding(scene, service, v4=is_ipv4(group.virtual))
            subject = Subject(service=service.key, flow=group.subject(scene).flow)
            lines = flow_lines(scene, group.rows, "packet", "refused or not answered")
            yield (
                flow_finding(
                    scene,
                    CAUSE,
                    subject,
                    group.rows,
                    confidence=0.95,
                    summary=found.summary,
                    evidence=found.evidence + lines,
                    remedy=found.remedy,
                ),
                group.rows,
            )

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the Service lacks endpoints of the family."""
        service = scene.cluster.services_by_key.get(finding.subject.service or "")
        return service is not None and _lacking(scene, service) is not None


def _lacking(scene: Scene, service: Service) -> bool | None:
    """The family (True: IPv4) of which a dual-stack Service has no endpoints; None if none."""
    families = {is_ipv4(ip) for ip in service.cluster_ips}
    if len(families) < 2:
        return None
    served = {is_ipv4(endpoint.ip) for endpoint in _usable(scene, service)}
    missing = families - served
    if not served or not missing or _changing(scene, service):
        return None
    return missing.pop()


def _changing(scene: Scene, service: Service) -> bool:
    """Whether its endpoints changed just now: each family has slices of its own."""
    return any(
        change.service == service.key and scene.now_ns - change.at_ns < SETTLING_NS
        for change in reversed(scene.cluster.changes)
    )


def _usable(scene: Scene, service: Service) -> Iterable[Endpoint]:
    return scene.cluster.usable_endpoints(service.key)


def _finding(scene: Scene, service: Service, *, v4: bool) -> Finding:
    namespace, name = service_word(service.key)
    addresses = ", ".join(text(ip) for ip in service.cluster_ips if is_ipv4(ip) == v4)
    return state_finding(
        scene,
        CAUSE,
        Subject(service=service.key),
        severity=Severity.INFO,
        confidence=0.9,
        summary=(
            f"Service {plain(service.key)} has the {_NAMES[v4]} address {addresses} and only "
            f"{_NAMES[not v4]} endpoints: connections over {_NAMES[v4]} are refused"
        ),
        evidence=(
            Evidence("object", f"Service {plain(service.key)}: no usable endpoint of {_NAMES[v4]}"),
        ),
        remedy=CAUSE.steps(namespace=namespace, name=name, single=_single(service, v4=v4)),
    )


def _single(service: Service, *, v4: bool) -> str:
    """How the Service gives up the family without endpoints; the first one it cannot."""
    if is_ipv4(service.cluster_ips[0]) == v4:
        return (
            f"Give the pods {_NAMES[v4]} addresses, or make the Service anew with ipFamilies: "
            f"[{_NAMES[not v4]}]: its first family cannot be changed"
        )
    namespace, name = service_word(service.key)
    spec = f'{{"ipFamilyPolicy":"SingleStack","ipFamilies":["{_NAMES[not v4]}"]}}'
    return f"kubectl patch service {name} -n {namespace} -p '{{\"spec\":{spec}}}'"
