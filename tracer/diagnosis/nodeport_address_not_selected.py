"""A node port is refused on an address of the node that kube-proxy did not select.

Claims: in nftables mode node ports are served on the node's primary address only,
unless told otherwise, and this is another one.
Evidence: a reset by the node itself for a node port of a Service with endpoints,
untranslated, on an address of the node that is not its primary one of that family;
kube-proxy's set of addresses where it was read.
Cannot know: kube-proxy's configuration; nothing is claimed in the other modes, which
serve all addresses by default.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.address import is_ipv4, text
from tracer.cluster.model import Node, ServiceKind
from tracer.diagnosis import signs
from tracer.diagnosis.causes.addresses import NODE_PORT_ADDRESS as CAUSE
from tracer.diagnosis.finding import Evidence, Finding
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import (
    Group,
    answered_since,
    by_destination,
    flow_finding,
    this_node,
)
from tracer.diagnosis.wording import flow_lines, refusal_text
from tracer.flow import Rows, Seen

QUIET_NS = 30_000_000_000


class NodePortAddress:
    """Explains node ports refused on secondary addresses."""

    name = CAUSE.id

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """One finding for each Service and address."""
        if scene.node.proxy_mode != "nftables":
            return
        flows = scene.table.flows
        reset = signs.has(flows, rows, Seen.RST_BEFORE_ANSWER) & (flows["service"][rows] >= 0)
        reset &= ~signs.has(flows, rows, Seen.TRANSLATED) & ~signs.answered(flows, rows)
        settled = signs.overdue(flows, rows, scene.now_ns) | scene.final
        reset &= settled | signs.has(flows, rows, Seen.RST_LOCAL)
        for group in by_destination(scene, rows[reset]):
            if group.hit is None or group.hit.kind != ServiceKind.NODE_PORT:
                continue
            primary = _primary(scene, group)
            if primary and group.usable(scene) and not _selected(scene, group.virtual):
                yield _finding(scene, group, primary), group.rows

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Until the address answers, or nobody asked for a while."""
        quiet = scene.now_ns - finding.last_ns >= QUIET_NS
        return not quiet and not answered_since(scene, finding)


def _primary(scene: Scene, group: Group) -> bytes:
    """This node's first address of the family; empty when the one asked for is that, or foreign."""
    name = this_node(scene)
    node: Node | None = next((n for n in scene.cluster.nodes if n.name == name), None)
    if node is None or group.virtual not in scene.node.local_addresses:
        return b""
    same = [ip for ip in node.addresses if is_ipv4(ip) == is_ipv4(group.virtual)]
    return same[0] if same and same[0] != group.virtual else b""


def _selected(scene: Scene, address: bytes) -> bool:
    """Whether kube-proxy's set of node port addresses, where it was read, has this one."""
    family = "ip" if is_ipv4(address) else "ip6"
    table = scene.node.nft.tables.get((family, "kube-proxy"))
    found = table.sets.get("nodeport-ips") if table else None
    return found is not None and (text(address),) in found.exact


def _finding(scene: Scene, group: Group, primary: bytes) -> Finding:
    told = f"refused with {refusal_text(scene, int(group.rows[0]))}"
    known = f"the node's primary address is {text(primary)}, not {text(group.virtual)}"
    return flow_finding(
        scene,
        CAUSE,
        group.subject(scene, group.virtual),
        group.rows,
        confidence=0.9 if "nft" in scene.node.known else 0.75,
        summary=(
            f"the node port of {group.name} is served on the node's primary address "
            f"{text(primary)} only"
        ),
        evidence=(Evidence("object", known), *flow_lines(scene, group.rows, "packet", told)),
        remedy=CAUSE.steps(primary=text(primary)),
    )
