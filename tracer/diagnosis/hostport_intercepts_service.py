"""A rule for host ports stands before kube-proxy's and matches every local address.

Claims: connections to any Service on that port end in the host port's pod, on this node.
Evidence: ipvs mode (Services' addresses are local), a rule of PREROUTING or OUTPUT in the
nat table for local destinations before the jump to KUBE-SERVICES that translates a port,
or leads to the plug-in portmap, and Services with such a port.
Cannot know: what later rules of the same chain take back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tracer.cluster.model import Service
from tracer.diagnosis.causes.drift import HOST_PORT_INTERCEPTS as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import listed, plain, rule_words
from tracer.node.xtables import XtChain

_LOCAL = re.compile(r"(?<!! )--dst-type LOCAL")
_PORTS = re.compile(r"--dports? ([\d,]+)")
_CNI = ("CNI-HOSTPORT-DNAT", "CNI-DN-")


class HostPortIntercepts:
    """Judges the state: what comes before kube-proxy's rules."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each rule."""
        if scene.node.proxy_mode != "ipvs":
            return
        for tool, rule, ports in _before_services(scene):
            hit = [service for service in scene.cluster.services if _uses(service, ports)]
            if hit:
                yield _finding(scene, tool, rule, ports, hit)


def _entrances(scene: Scene) -> Iterator[tuple[str, XtChain]]:
    for tables in scene.node.xtables:
        for name in ("PREROUTING", "OUTPUT"):
            chain = tables.tables.get("nat", {}).get(name)
            if chain is not None:
                yield "ip6tables" if tables.ipv6 else "iptables", chain


def _before_services(scene: Scene) -> Iterator[tuple[str, str, frozenset[int]]]:
    """Rules for local destinations that come first, with their tool and the ports they map."""
    for tool, chain in _entrances(scene):
        for line in chain.lines:
            if "-j KUBE-SERVICES" in line:
                break
            if _LOCAL.search(line):
                ports = _translated(scene, line)
                if ports:
                    yield tool, line, ports


def _translated(scene: Scene, line: str) -> frozenset[int]:
    """Ports that a rule translates by itself, or through portmap's chains."""
    if "-j DNAT" in line:
        return _ports(line)
    if not any(f"-j {name}" in line for name in _CNI):
        return frozenset()
    mapped = (chain for _, chain in chains(scene, "nat") if chain.name.startswith(_CNI))
    return frozenset().union(*(_ports(rule) for chain in mapped for rule in chain.lines))


def _ports(line: str) -> frozenset[int]:
    found = _PORTS.search(line)
    return frozenset(int(port) for port in found[1].split(",") if port) if found else frozenset()


def _uses(service: Service, ports: frozenset[int]) -> bool:
    return bool(service.cluster_ips) and any(port.port in ports for port in service.ports)


def _finding(
    scene: Scene, tool: str, rule: str, ports: frozenset[int], hit: list[Service]
) -> Finding:
    shown = ", ".join(map(str, sorted(ports)))
    names = listed(sorted(service.key for service in hit)[:4], "none")
    return state_finding(
        scene,
        CAUSE,
        Subject(node=this_node(scene)),
        confidence=0.85,
        summary=(
            f"a rule for host port {shown} comes before kube-proxy's and matches all local "
            f"addresses, those of Services too: it takes the connections of {names}"
        ),
        evidence=(Evidence("rule", f"nat: {plain(rule[rule.index('-A ') + 3 :])}"),),
        remedy=CAUSE.steps(tool=tool, rule=rule_words(rule)),
    )
