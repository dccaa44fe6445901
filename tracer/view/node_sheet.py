"""The page of the node: addresses and who put them there, drift from the cluster, sysctls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer import address
from tracer.cluster.model import Cluster
from tracer.detail import Detail
from tracer.drift.compare import compared
from tracer.drift.difference import WHOLE_NODE
from tracer.node.model import IPVS_DEVICE, InterfaceAddress, NodeState
from tracer.plain import harmless
from tracer.view.query import ViewQuery
from tracer.view.servers import Server, servers_of
from tracer.view.sheet import Heading, Line, Sheet, Tone, detail_from, sheet_of
from tracer.view.sysctls import shown as sysctls_shown

HEADINGS = (Heading("What"), Heading("Value"), Heading("Who, why"))
Behind = dict[bytes, list[Server]]


class NodePage:
    """Keeps the lines that were made of the last node and cluster."""

    def __init__(self) -> None:
        self._made_from: tuple[Cluster, NodeState] | None = None
        self._lines: list[Line] = []

    def sheet(
        self, cluster: Cluster, node: NodeState, query: ViewQuery
    ) -> tuple[Sheet, Detail | None]:
        """The wanted window, and all about the selected line."""
        made_from = self._made_from
        if made_from is None or made_from[0] is not cluster or made_from[1] is not node:
            self._made_from = cluster, node
            self._lines = list(_lines(cluster, node))
        sheet = sheet_of(HEADINGS, self._lines, query.start, query.height, query.row)
        if sheet.selected_at < 0:
            return sheet, None
        line = self._lines[sheet.selected_at]
        return sheet, detail_from(HEADINGS, line)


def _lines(cluster: Cluster, node: NodeState) -> Iterator[Line]:
    servers = servers_of(cluster, node).values()
    behind: Behind = {}
    for server in servers:
        behind.setdefault(server.key[1], []).append(server)
    yield from _section("Addresses", "addresses" in node.known, _addresses(cluster, node, behind))
    drift = list(_drift(cluster, node))
    if drift:
        yield from _section("Differs from the cluster", True, drift)
    yield from _section("Sysctls", "sysctls" in node.known, _sysctls(node))
    if node.address_sets:
        yield from _section("Address sets", True, _sets(node))


def _section(title: str, known: bool, lines: Iterable[Line]) -> Iterator[Line]:
    """A title, and the lines under it."""
    rows = list(lines)
    told = str(len(rows)) if known or rows else "not known"
    yield Line(("section", title), (title, told, ""), Tone.HEAD)
    yield from rows


def _addresses(cluster: Cluster, node: NodeState, behind: Behind) -> Iterator[Line]:
    """kube-ipvs0 last: it may hold thousands."""
    for one in sorted(
        node.addresses, key=lambda one: (one.interface == IPVS_DEVICE, one.interface)
    ):
        who, tone = _owner(one, cluster, node, behind)
        name = harmless(f"  {one.interface}")
        value = f"{address.text(one.ip)}/{one.prefix}"
        yield Line(("address", one.interface, one.ip), (name, value, harmless(who)), tone)


def _owner(
    one: InterfaceAddress, cluster: Cluster, node: NodeState, behind: Behind
) -> tuple[str, Tone]:
    """Who put an address on an interface."""
    owner = cluster.node_by_address.get(one.ip)
    services = ", ".join(
        sorted({f"{s.name} ({s.kind_name})" for s in behind.get(one.ip, ()) if s.service})
    )
    if one.interface == IPVS_DEVICE:
        if owner is not None:
            told = f"kube-proxy for {services}" if services else "kube-proxy"
            return f"address of node {owner.name}, put here by {told}", Tone.BAD
        if services:
            return f"kube-proxy for {services}", Tone.PLAIN
        return "kube-proxy, but no Service has it", Tone.WARN if cluster.services else Tone.PLAIN
    if owner is not None:
        other = owner.name != node.node_name and bool(node.node_name)
        return f"address of node {owner.name}", Tone.BAD if other else Tone.GOOD
    return ("loopback" if one.interface == "lo" else ""), Tone.PLAIN


def _drift(cluster: Cluster, node: NodeState) -> Iterator[Line]:
    """Everything in which the rules of the node's mode differ from the cluster."""
    for one in compared(node, cluster, node.node_name):
        by = f" ({one.by})" if one.by else ""
        cells = (f"  {one.turn.value}", harmless(one.what), harmless(one.told + by))
        tone = Tone.BAD if one.turn in WHOLE_NODE else Tone.WARN
        yield Line(("drift", one.turn.name, one.what, one.by), cells, tone)


def _sysctls(node: NodeState) -> Iterator[Line]:
    for sysctl, value, wrong in sysctls_shown(node.sysctls, node.proxy_mode):
        told = f"{sysctl.meaning}: kube-proxy wants {sysctl.wanted}" if wrong else sysctl.meaning
        cells = (f"  {sysctl.name}", harmless(value), told)
        yield Line(("sysctl", sysctl.name), cells, Tone.BAD if wrong else Tone.PLAIN)


def _sets(node: NodeState) -> Iterator[Line]:
    for one in node.address_sets:
        cells = (harmless(f"  {one.name}"), f"{len(one.members)} members", harmless(one.kind))
        yield Line(("set", one.name), cells)
