"""The backend refused: delivered, not lost.

Claims: the request reached its destination, which answered it with a reset or an
ICMP error. Says nothing of connections reset after data was exchanged: that is the
application's affair.
Evidence: a reset that answers the request itself, or an ICMP error, from the backend.
Packets outrun the kernel's word, so a reset without a translation in sight waits for it.
Cannot know: whether the process ended, listens elsewhere or only on loopback; nor,
while no translation is in sight, whether it was the pod or the Service's address.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import packed_at
from tracer.diagnosis import signs
from tracer.diagnosis.causes.fallbacks import REFUSED_BY_BACKEND as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, answered_since, by_destination, flow_finding
from tracer.diagnosis.wording import flow_lines, refusal_text, service_word
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000


class RefusedByBackend:
    """Explains refusals that come from the backend."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service, or address where none is known."""
        flows = scene.table.flows
        sender, backend = flows["refused_by"][rows], flows["backend"][rows]
        from_backend = signs.same(sender, backend)
        from_virtual = signs.same(sender, flows["virtual"][rows])
        moved = signs.has(flows, rows, Seen.TRANSLATED)
        far = (flows["service"][rows] >= 0) & ~signs.has(flows, rows, Seen.RST_LOCAL)
        settled = signs.overdue(flows, rows, scene.now_ns) | scene.final
        known = moved | (far & settled)
        reset = signs.has(flows, rows, Seen.RST_BEFORE_ANSWER) & known
        icmp = signs.has(flows, rows, Seen.ICMP_REFUSED) & moved & from_backend
        refused = reset & (from_backend | from_virtual) | icmp
        for group in by_destination(scene, rows[refused & ~signs.answered(flows, rows)]):
            yield _finding(scene, group), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until it answers again and has not refused for a while."""
        return not answered_since(scene, finding, QUIET_NS)


def _finding(scene: Scene, group: Group) -> Finding:
    flows, first = scene.table.flows, int(group.rows[0])
    moved = bool(signs.has(flows, group.rows, Seen.TRANSLATED).any())
    ip, port = packed_at(flows["backend"], first), int(flows["backend_port"][first])
    expected = any((e.ip, e.port) == (ip, port) for e in group.usable(scene))
    objects = (
        (Evidence("object", "Kubernetes lists the backend as a usable endpoint"),)
        if expected
        else ()
    )
    told = f"answered with {refusal_text(scene, first)}"
    namespace, name = (
        service_word(group.service_key) if group.service_key else ("<namespace>", "<service>")
    )
    pod = scene.cluster.pod_by_address.get(ip)
    pod_namespace, pod_name = service_word(pod.key) if pod else (namespace, "<pod>")
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene),
        group.rows,
        severity=CAUSE.severity if expected else Severity.INFO,
        confidence=0.95 if moved else 0.6,
        summary=f"the backend of {group.name} refuses connections: delivered, not lost",
        evidence=(*objects, *flow_lines(scene, group.rows, "packet", told)),
        remedy=CAUSE.steps(
            namespace=namespace, name=name, pod_namespace=pod_namespace, pod=pod_name
        ),
    )
