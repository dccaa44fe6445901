"""An audit: everything that is wrong or dangerous in one state, without any traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracer.address import text
from tracer.cluster.model import Cluster
from tracer.diagnosis.audit_catalogue import AUDIT_RULES
from tracer.diagnosis.catalogue import RULES
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.ledger import Ledger
from tracer.diagnosis.rule import Scene
from tracer.enrich import Enricher
from tracer.events import EventBatch, Loss
from tracer.flows import FlowTable
from tracer.names import Names
from tracer.node.model import NodeState

MAX_FINDINGS = 100_000
MAX_FLOWS = 1 << 20
_MISMATCH = "etp-local-nodename-mismatch"
_NO_WEIGHT = "ipvs-weight-zero-after-restart"
_DRIFT = "rules-not-synced"
_WITHOUT = {
    "services": "the cluster's Services are not known: only the node itself was judged",
    "endpoints": "EndpointSlices are not known: rules were not held against them",
    "nodes": "Node objects are not known: node addresses in Services were not looked for",
}
_UNREAD = {
    "addresses": "the node's addresses are not known (addr.json)",
    "routes": "routes are not known (route.json)",
    "sysctls": "sysctls are not known (sysctl.txt)",
}
_RULES = {
    "ipvs": ("virtual_servers", "IPVS's virtual servers are not known (ipvsadm-save.txt)"),
    "iptables": ("xtables", "iptables' rules are not known (iptables-save.txt)"),
    "nftables": ("nft", "nftables' rules are not known (nft.json)"),
}


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found, and what could not be judged."""

    findings: tuple[Finding, ...]
    """The gravest first."""
    degraded: tuple[str, ...]


def audit(node: NodeState, cluster: Cluster, existing: EventBatch) -> Audit:
    """Judge one state; ``existing``: the connections there are, for addresses in use."""
    scene = _scene(node, cluster, existing)
    ledger = Ledger(max_open=MAX_FINDINGS)
    rules = (*RULES.state, *AUDIT_RULES)
    ledger.absorb_state((f for rule in rules for f in rule.check(scene)), scene.now_ns)
    ordered = ledger.open()
    return Audit(
        tuple(_rooted(finding, ordered) for finding in ordered), tuple(_degraded(node, cluster))
    )


def _scene(node: NodeState, cluster: Cluster, existing: EventBatch) -> Scene:
    table = FlowTable(MAX_FLOWS)
    enricher = Enricher(Names())
    changed = table.update(existing.records, existing.origin)
    enricher.set_cluster(cluster, node)
    enricher.annotate(table.flows, changed)
    return Scene(
        table=table,
        cluster=cluster,
        node=node,
        enricher=enricher,
        now_ns=node.at_ns,
        lost=Loss(),
        recent_lost=0,
        text=lambda _: "",
        final=True,
    )


def _rooted(finding: Finding, found: Sequence[Finding]) -> Finding:
    """Rules that differ for a reason that is found as well are its consequence."""
    if finding.cause != _DRIFT:
        return finding
    roots = (other.cause for other in found if _explains(other, finding))
    return replace(finding, consequence_of=next(roots, finding.consequence_of))


def _explains(root: Finding, drift: Finding) -> bool:
    """A wrong node name explains all of it, a server without weight what is told of its address."""
    if root.cause == _MISMATCH:
        return True
    address = root.subject.address
    if root.cause != _NO_WEIGHT or address is None:
        return False
    return all(text(address) in line.text for line in drift.evidence)


def _degraded(node: NodeState, cluster: Cluster) -> list[str]:
    missing = [told for part, told in _WITHOUT.items() if part not in cluster.known]
    missing += [told for part, told in _UNREAD.items() if part not in node.known]
    if not node.proxy_mode:
        missing.append(
            "no trace of kube-proxy: it does not run here, or another proxy (Cilium and others) "
            "serves the Services; rules were not held against the cluster"
        )
    elif _RULES[node.proxy_mode][0] not in node.known:
        missing.append(_RULES[node.proxy_mode][1])
    return missing
