"""IP forwarding is off on this node.

Claims: packets between pods, or between pods and the world, die here.
Evidence: the setting, on a node that runs pods with addresses of their own; per flow
the kernel's drop reason IP_INADDRERRORS (IPv6: a drop in ip6_forward), or a request
that must be forwarded and is never answered while the setting is off.
Cannot know: who turned it off. Silence is not blamed on the setting where some
interface has forwarding on by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tracer.address import is_ipv4
from tracer.diagnosis import drops, places, signs
from tracer.diagnosis.causes.host import IP_FORWARD_OFF as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import answered_since, by_node, flow_finding, this_node
from tracer.diagnosis.wording import drop_text, flow_lines, plain
from tracer.flow import Rows, Seen

QUIET_NS = 10_000_000_000
SETTINGS = {2: "net.ipv4.ip_forward", 10: "net.ipv6.conf.all.forwarding"}
"""By address family of a flow."""


class ForwardingSwitchedOff:
    """Judges the state: a node that runs pods must forward."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        node = this_node(scene)
        off = [SETTINGS[family] for family in _families_of_pods(scene, node) if _off(scene, family)]
        if off:
            since = scene.now_ns or scene.node.at_ns
            yield Finding(
                cause=CAUSE.id,
                severity=CAUSE.severity,
                confidence=0.95,
                since_ns=since,
                subject=Subject(node=node),
                summary=_summary(node),
                evidence=tuple(Evidence("sysctl", f"{setting} = 0") for setting in off),
                remedy=CAUSE.steps(setting=off[0]),
                count=0,
            )


class ForwardingRefused:
    """Judges flows that this node should have passed on."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node and address family."""
        flows = scene.table.flows
        unanswered = ~signs.answered(flows, rows)
        told = drops.with_reason(scene, rows, "IP_INADDRERRORS") & (flows["family"][rows] == 2)
        told |= drops.at_place(scene, rows, "ip6_forward") & _switched_off(scene, rows)
        told &= drops.on_this_node(scene, rows)
        for chosen, sure in ((told, True), (~told & _silent(scene, rows), False)):
            lost = rows[chosen & unanswered]
            for family in SETTINGS:
                for subject, mine in by_node(scene, lost[flows["family"][lost] == family]):
                    yield _finding(scene, subject, mine, SETTINGS[family], sure), mine

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the setting is off; else until answers come again or it has been quiet."""
        if any(_off(scene, family) for family in SETTINGS):
            return True
        mended = any(scene.node.sysctls.get(name) == "1" for name in SETTINGS.values())
        if mended and scene.now_ns - finding.last_ns >= QUIET_NS:
            return False
        return not answered_since(scene, finding)


def _off(scene: Scene, family: int) -> bool:
    return scene.node.sysctls.get(SETTINGS[family]) == "0"


def _families_of_pods(scene: Scene, node: str) -> Iterator[int]:
    """Address families of pods on this node that have addresses of their own."""
    pods = [p for p in scene.cluster.pods if node and p.node == node and not p.host_network]
    running = [ip for pod in pods if not pod.finished for ip in pod.ips]
    for family in SETTINGS:
        if any(is_ipv4(ip) == (family == 2) for ip in running):
            yield family


def _switched_off(scene: Scene, rows: Rows) -> signs.Mask:
    off = [family for family in SETTINGS if _off(scene, family)]
    return np.isin(scene.table.flows["family"][rows], off)


def _silent(scene: Scene, rows: Rows) -> signs.Mask:
    """Unanswered, to be forwarded, forwarding off on every interface, and no other sign."""
    exceptions = any(
        value == "1" and name.endswith(".forwarding") and name not in SETTINGS.values()
        for name, value in scene.node.sysctls.items()
    )
    candidates = _switched_off(scene, rows)
    if exceptions or not candidates.any():
        return np.zeros(len(rows), dtype=np.bool_)
    other = signs.has(scene.table.flows, rows, signs.REFUSED | signs.HURT | Seen.LOCAL_IN)
    return candidates & ~other & places.forwarded(scene, rows) & signs.silent(scene, rows)


def _summary(node: str) -> str:
    where = f" on node {plain(node)}" if node else ""
    return f"IP forwarding is off{where}: packets from and to its pods are dropped"


def _finding(scene: Scene, subject: Subject, rows: Rows, setting: str, sure: bool) -> Finding:
    told = f"dropped ({drop_text(scene, int(rows[0]))})" if sure else "has to be forwarded"
    value = scene.node.sysctls.get(setting)
    settings = (Evidence("sysctl", f"{setting} = {value}"),) if value is not None else ()
    return flow_finding(
        scene,
        CAUSE,
        subject,
        rows,
        confidence=0.95 if sure else scene.absence_confidence(0.8),
        summary=_summary(subject.node or ""),
        evidence=(*settings, *flow_lines(scene, rows, "kernel" if sure else "packet", told)),
        remedy=CAUSE.steps(setting=setting),
    )
