"""IPVS's defences are on, or a virtual server has the special port 21.

Claims: new connections may be dropped without any rule, or other ports of an address
are taken along with port 21.
Evidence: net.ipv4.vs.drop_packet, drop_entry and secure_tcp above 0, and the list of
virtual servers, in ipvs mode.
Cannot know: whether memory was ever short enough for modes 1 and 2 to act; mode 3
always does.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import endpoint
from tracer.diagnosis.causes.servers import DEFENSE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain

SETTINGS = tuple(f"net.ipv4.vs.{name}" for name in ("drop_packet", "drop_entry", "secure_tcp"))
ALWAYS = "3"
FTP = 21


class Defense:
    """Judges the state: settings and servers."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        if scene.node.proxy_mode != "ipvs":
            return
        sysctls = scene.node.sysctls
        on = [name for name in SETTINGS if sysctls.get(name, "0") not in ("0", "")]
        special = [s for s in scene.node.virtual_servers if s.port == FTP and s.protocol == 6]
        if not on and not special:
            return
        always = any(sysctls[name] == ALWAYS for name in on)
        told = [Evidence("sysctl", f"{name} = {plain(sysctls[name])}") for name in on]
        told += [Evidence("ipvs", f"virtual server {endpoint(s.ip, s.port)}") for s in special[:4]]
        what = [f"{name} is {plain(sysctls[name])}" for name in on]
        if special:
            what.append("a virtual server has port 21, whose data connections IPVS guesses")
        yield state_finding(
            scene,
            CAUSE,
            Subject(node=this_node(scene)),
            severity=CAUSE.severity if always else Severity.INFO,
            confidence=0.9 if always else 0.6,
            summary=f"IPVS may lose packets on purpose: {'; '.join(what)}",
            evidence=told,
            remedy=CAUSE.steps(),
        )
