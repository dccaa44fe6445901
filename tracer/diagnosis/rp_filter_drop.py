"""The reverse path filter dropped the request.

Claims: this node's rp_filter dropped it on arrival, before any Service rule.
Evidence: the kernel's drop reason IP_RPFILTER in the node's own namespace.
Cannot know: whether the route back or the filter is what is wrong; nor anything
without probes in the kernel, where it looks like a request nobody answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import packed_at, text
from tracer.diagnosis import drops, signs
from tracer.diagnosis.causes.host import RP_FILTER_DROP as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import answered_since, by_node, concerning, flow_finding
from tracer.diagnosis.wording import drop_text, flow_lines, word
from tracer.flow import Leg, Rows

QUIET_NS = 10_000_000_000


class RpFilterDrop:
    """Explains what rp_filter drops."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node."""
        flows = scene.table.flows
        dropped = drops.with_reason(scene, rows, "IP_RPFILTER") & drops.on_this_node(scene, rows)
        lost = dropped & ~signs.answered(flows, rows) & concerning(scene, rows)
        for subject, mine in by_node(scene, rows[lost]):
            yield _finding(scene, subject, mine), mine

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the filter is off everywhere, or the destination answers and drops have stopped."""
        values = [value for _, value in _filters(scene)]
        if values and set(values) == {"0"}:
            return False
        return not answered_since(scene, finding, QUIET_NS)


def _filters(scene: Scene) -> list[tuple[str, str]]:
    settings = sorted(scene.node.sysctls.items())
    return [(name, value) for name, value in settings if name.endswith(".rp_filter")]


def _interface(scene: Scene, row: int) -> str:
    """Where the request came in, if packets showed it."""
    index = int(scene.table.flows["leg_ifindex"][row, Leg.CLIENT_OUT])
    name = scene.node.interfaces.get(index)
    return word(name) if name else "<interface>"


def _finding(scene: Scene, subject: Subject, rows: Rows) -> Finding:
    flows, first = scene.table.flows, int(rows[0])
    told = f"dropped ({drop_text(scene, first)})"
    strict = [f"{name} = {value}" for name, value in _filters(scene) if value != "0"]
    settings = (Evidence("sysctl", ", ".join(strict[:6])),) if strict else ()
    return flow_finding(
        scene,
        CAUSE,
        subject,
        rows,
        confidence=0.95,
        summary=(
            "the reverse path filter drops requests on arrival: the route back to "
            f"{text(packed_at(flows['client'], first))} leaves by another interface"
        ),
        evidence=(*flow_lines(scene, rows, "kernel", told), *settings),
        remedy=CAUSE.steps(
            client=text(packed_at(flows["client"], first)),
            virtual=text(packed_at(flows["virtual"], first)),
            interface=_interface(scene, first),
        ),
    )
