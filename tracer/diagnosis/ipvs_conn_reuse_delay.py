"""This kernel drops SYNs that reuse the ports of a connection IPVS still remembers.

Claims: such a SYN is answered only when it is repeated, a second later.
Evidence: ipvs mode, Linux before 5.9, conn_reuse_mode 1 and vs.conntrack 1.
Cannot know: whether the distribution's kernel has the later correction (many stable
ones have), nor whether clients here reuse ports that fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracer.diagnosis.causes.servers import CONN_REUSE_DELAY as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import plain

SETTINGS = ("net.ipv4.vs.conn_reuse_mode", "net.ipv4.vs.conntrack")
RELEASE = "kernel.osrelease"
CURED = (5, 9)


class ConnReuseDelay:
    """Judges the state: kernel and settings."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        sysctls = scene.node.sysctls
        version = re.match(r"(\d+)\.(\d+)", sysctls.get(RELEASE, ""))
        if scene.node.proxy_mode != "ipvs" or version is None:
            return
        if (int(version[1]), int(version[2])) >= CURED:
            return
        if all(sysctls.get(name) == "1" for name in SETTINGS):
            told = [Evidence("sysctl", f"{name} = 1") for name in SETTINGS]
            yield state_finding(
                scene,
                CAUSE,
                Subject(node=this_node(scene)),
                confidence=0.6,
                summary=(
                    f"Linux {plain(sysctls[RELEASE])} drops the first packet of connections that "
                    "reuse a port IPVS remembers: they take a second longer"
                ),
                evidence=(Evidence("sysctl", f"{RELEASE} = {plain(sysctls[RELEASE])}"), *told),
                remedy=CAUSE.steps(),
            )
