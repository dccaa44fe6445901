"""Answers between pods of one node bypass netfilter over a bridge.

Claims: the backend answered with its own address, past conntrack, and the client
rejected it.
Evidence: pods on a bridge, bridge-nf-call-iptables 0 or br_netfilter not loaded, a
translation between two pods of this node, and an answer that was never translated back.
Cannot know: whether the pods are really on the same bridge where several exist.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer.address import is_ipv4
from tracer.diagnosis import places, signs
from tracer.diagnosis.causes.tracking import BRIDGE_NF_CALL as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import answered_since, by_node, flow_finding, this_node
from tracer.diagnosis.wording import flow_lines
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000
SETTINGS = {2: "net.bridge.bridge-nf-call-iptables", 10: "net.bridge.bridge-nf-call-ip6tables"}


class BridgeNfCallOff:
    """Explains clients that hear the backend's own address."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for the node and address family."""
        if not scene.node.masters or "sysctls" not in scene.node.known or not this_node(scene):
            return
        flows = scene.table.flows
        for family in SETTINGS:
            if not _off(scene, family):
                continue
            mine = rows[flows["family"][rows] == family]
            lost = mine[_unheard(scene, mine)]
            for subject, where in by_node(scene, lost[_both_here(scene, lost)]):
                told = f"{SETTINGS[family]} = {scene.node.sysctls.get(SETTINGS[family], 'absent')}"
                yield (
                    flow_finding(
                        scene,
                        CAUSE,
                        subject,
                        where,
                        confidence=scene.absence_confidence(0.85),
                        summary=(
                            "answers between pods of this node go over the bridge past netfilter, "
                            "so that clients of Services get them from the wrong address"
                        ),
                        evidence=(
                            Evidence("sysctl", told),
                            *flow_lines(scene, where, "packet", "no translated answer"),
                        ),
                        remedy=CAUSE.steps(),
                    ),
                    where,
                )

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """While the setting is off; where it is not known, until answers come again."""
        flow = finding.subject.flow
        family = 2 if flow is None or is_ipv4(flow.dst) else 10
        return _off(scene, family) and not answered_since(scene, finding, QUIET_NS)


def _off(scene: Scene, family: int) -> bool:
    return scene.node.sysctls.get(SETTINGS[family], "0") == "0"


def _unheard(scene: Scene, rows: Rows) -> signs.Mask:
    """Translated, and the answer, if there was one, did not reach the client as it should."""
    flows = scene.table.flows
    lost = signs.has(flows, rows, Seen.TRANSLATED)
    lost &= ~signs.has(flows, rows, Seen.ANSWER_CLIENT | Seen.ASSURED | Seen.REPLIED)
    lost &= ~signs.has(flows, rows, signs.REFUSED | Seen.CT_FAILED | Seen.NO_ROUTE)
    lost &= ~signs.same(flows["client"][rows], flows["backend"][rows])
    astray = signs.has(flows, rows, Seen.RST_ASTRAY)
    return np.asarray(lost & (astray | signs.silent(scene, rows)))


def _both_here(scene: Scene, rows: Rows) -> signs.Mask:
    flows, node = scene.table.flows, this_node(scene)
    ends = places.distinct(scene, rows, "client") | places.distinct(scene, rows, "backend")
    pods = scene.cluster.pod_by_address
    here = frozenset(ip for ip in ends if ip in pods and pods[ip].node == node)
    return signs.among(flows["client"][rows], here) & signs.among(flows["backend"][rows], here)
