"""Every node answers ARP for an address on kube-ipvs0.

Claims: more than one machine of the network answers who has that address.
Evidence: ipvs mode, a load balancer or external address on kube-ipvs0 that lies in a
network of this node's own interfaces, and arp_ignore 0 there.
Cannot know: whether anybody on the link asks for it. Addresses outside the link are
never asked for by ARP, and ClusterIPs are not either.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from tracer.address import is_ipv4, text
from tracer.diagnosis.causes.claims import ARP_FLUX as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import bound_addresses, links, state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain
from tracer.node.model import IPVS_DEVICE

SETTING = "net.ipv4.conf.{}.arp_ignore"


class ArpFlux:
    """Judges the state: addresses of kube-ipvs0 that the link can ask for."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        sysctls = scene.node.sysctls
        if sysctls.get(SETTING.format("all")) != "0":
            return
        claimed = {
            ip
            for service in scene.cluster.services
            for ip in (*service.load_balancer_ips, *service.external_ips)
        } - scene.cluster.node_by_address.keys()
        asked = sorted(ip for ip in bound_addresses(scene) & claimed if is_ipv4(ip))
        for interface, network in links(scene):
            here = [ip for ip in asked if ipaddress.ip_address(text(ip)) in network]
            if here and sysctls.get(SETTING.format(interface.replace(".", "/")), "0") == "0":
                yield _finding(scene, interface, here)
                return


def _finding(scene: Scene, interface: str, addresses: list[bytes]) -> Finding:
    shown = ", ".join(map(text, addresses[:3])) + (", …" if len(addresses) > 3 else "")
    return state_finding(
        scene,
        CAUSE,
        Subject(node=this_node(scene)),
        confidence=0.85,
        summary=(
            f"this node answers ARP on {plain(interface)} for {shown}, bound on {IPVS_DEVICE} of "
            "every node: the network sees several owners of one address"
        ),
        evidence=(
            Evidence("sysctl", f"{SETTING.format('all')} = 0"),
            Evidence("rule", f"ip addr: {shown} on {IPVS_DEVICE}, in the network of {interface}"),
        ),
        remedy=CAUSE.steps(),
    )
