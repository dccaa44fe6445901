"""Sysctls that will break Services, without waiting for the flow that shows it.

The causes are those of the rules that judge flows; here the setting alone is evidence.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import text
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.causes.endpoints import SESSION_AFFINITY_DEAD_POD
from tracer.diagnosis.causes.nat import IPVS_CONNTRACK_OFF, IPVS_NODEST_SILENT_DROP
from tracer.diagnosis.causes.tracking import BRIDGE_NF_CALL
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.places import within
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain, service_word

_BRIDGED = {
    "net.bridge.bridge-nf-call-iptables": False,
    "net.bridge.bridge-nf-call-ip6tables": True,
}


class IpvsSetting:
    """Judges the state: one sysctl that kube-proxy sets in ipvs mode, and somebody took back."""

    def __init__(self, cause: Cause, setting: str, told: str, severity: Severity) -> None:
        self.name = cause.id
        self.cause, self.setting, self.told, self.severity = cause, setting, told, severity

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        if scene.node.proxy_mode != "ipvs" or scene.node.sysctls.get(self.setting) != "0":
            return
        yield state_finding(
            scene,
            self.cause,
            Subject(node=this_node(scene) or None),
            severity=self.severity,
            summary=f"{self.setting} is 0: {self.told}",
            evidence=(Evidence("sysctl", f"{self.setting} = 0; kube-proxy sets 1"),),
            remedy=self.cause.steps(),
        )


CONNTRACK_OFF = IpvsSetting(
    IPVS_CONNTRACK_OFF,
    "net.ipv4.vs.conntrack",
    "outside clients that IPVS sends to pods of other nodes are not masqueraded",
    Severity.WARNING,
)
NODEST_KEPT = IpvsSetting(
    IPVS_NODEST_SILENT_DROP,
    "net.ipv4.vs.expire_nodest_conn",
    "connections to a removed endpoint hang until they time out, instead of being reset",
    Severity.INFO,
)


class QuiescentTemplateKept:
    """Judges the state: affinity in ipvs mode that outlives its endpoint."""

    name = SESSION_AFFINITY_DEAD_POD.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each Service with affinity."""
        setting = "net.ipv4.vs.expire_quiescent_template"
        if scene.node.proxy_mode != "ipvs" or scene.node.sysctls.get(setting) != "0":
            return
        for service in scene.cluster.services:
            if service.affinity_seconds:
                namespace, name = service_word(service.key)
                yield state_finding(
                    scene,
                    SESSION_AFFINITY_DEAD_POD,
                    Subject(service=service.key),
                    severity=Severity.INFO,
                    summary=(
                        f"{setting} is 0: clients of Service {plain(service.key)} stay with an "
                        f"endpoint that is leaving, for {service.affinity_seconds} s after each try"
                    ),
                    evidence=(Evidence("sysctl", f"{setting} = 0; kube-proxy sets 1"),),
                    remedy=SESSION_AFFINITY_DEAD_POD.steps(
                        namespace=namespace, name=name, client="<client>"
                    ),
                )


class BridgeNotFiltered:
    """Judges the state: a bridge of pods whose packets do not meet the rules."""

    name = BRIDGE_NF_CALL.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding for each address family."""
        ranges = [cidr for node in scene.cluster.nodes for cidr in node.pod_cidrs]
        bridges = set(scene.node.masters.values())
        for setting, ipv6 in _BRIDGED.items():
            if scene.node.sysctls.get(setting) != "0":
                continue
            for one in scene.node.addresses:
                mine = one.interface in bridges and (":" in text(one.ip)) == ipv6
                if mine and within(one.ip, ranges):
                    yield _finding(scene, one.interface, setting)
                    break


def _finding(scene: Scene, bridge: str, setting: str) -> Finding:
    return state_finding(
        scene,
        BRIDGE_NF_CALL,
        Subject(node=this_node(scene) or None),
        summary=(
            f"{setting} is 0 and pods are on bridge {plain(bridge)}: a pod's answer to another "
            "pod of this node bypasses conntrack and comes from the wrong address"
        ),
        evidence=(
            Evidence("sysctl", f"{setting} = 0"),
            Evidence("rule", f"bridge {plain(bridge)} has an address in the range of pods"),
        ),
        remedy=BRIDGE_NF_CALL.steps(),
    )
