"""NodeLocal DNSCache claims a ClusterIP in ipvs mode.

Claims: queries for that ClusterIP are kept out of conntrack, or answered by an interface
that is not IPVS's.
Evidence: ipvs mode, and a NOTRACK rule of the raw table for a Service's address, or the
address on the cache's own interface.
Cannot know: whether pods ask that address at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tracer.address import is_ipv4, parse, text
from tracer.diagnosis.causes.drift import NODELOCALDNS as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, state_finding
from tracer.diagnosis.wording import plain, prefix, rule_words

INTERFACE = "nodelocaldns"
_NOTRACK = re.compile(
    r"-A ((?:PREROUTING|OUTPUT) .*?-d ([0-9a-fA-F.:]+)(?:/\d+)? .*-j (?:NOTRACK|CT --notrack).*)$"
)


class NodeLocalDns:
    """Judges the state: exceptions for Services' addresses."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each address."""
        if scene.node.proxy_mode != "ipvs":
            return
        services = scene.cluster.service_by_address
        told: set[bytes] = set()
        for address, where, taken in _claimed(scene):
            if address in services and address not in told:
                told.add(address)
                service = services[address]
                yield state_finding(
                    scene,
                    CAUSE,
                    Subject(service=service.key, address=address),
                    summary=(
                        f"{text(address)} of Service {plain(service.key)} is kept out of ipvs "
                        f"mode's hands: {where}"
                    ),
                    evidence=(Evidence("rule", where),),
                    remedy=CAUSE.steps(taken=taken),
                )


def _claimed(scene: Scene) -> Iterator[tuple[bytes, str, str]]:
    """Addresses with where they are claimed, and the command that takes it back."""
    for _, chain in chains(scene, "raw"):
        for line in chain.lines:
            found = _NOTRACK.search(line)
            if found:
                address = parse(found[2])
                tool = "iptables" if is_ipv4(address) else "ip6tables"
                taken = f"{tool} -t raw -D {rule_words(line)}"
                yield address, f"raw table: {plain(found[1])}", taken
    for entry in scene.node.addresses:
        if entry.interface == INTERFACE:
            taken = f"ip addr del {prefix(entry.ip)} dev {INTERFACE}"
            yield entry.ip, f"ip addr: {text(entry.ip)} on {INTERFACE}", taken
