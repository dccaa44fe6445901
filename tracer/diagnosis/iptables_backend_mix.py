"""kube-proxy's chains hold rules in both variants of iptables.

Claims: the kernel obeys both, and what one listing shows is not all that happens.
Evidence: KUBE- chains with rules in a listing of iptables-legacy and in one of
iptables-nft.
Cannot know: which of the two is stale; a variant that was not listed is not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tracer.diagnosis.causes.drift import BACKEND_MIX as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, state_finding
from tracer.diagnosis.subjects import this_node
from tracer.node.xtables import LEGACY, NFT

_CANARIES = ("KUBE-PROXY-CANARY", "KUBE-KUBELET-CANARY")


class BackendMix:
    """Judges the state: both listings."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        rules: Counter[str] = Counter()
        for table in ("nat", "filter"):
            for variant, chain in chains(scene, table):
                if chain.name.startswith("KUBE-") and chain.name not in _CANARIES:
                    rules[variant] += len(chain.lines)
        if rules[LEGACY] and rules[NFT]:
            yield state_finding(
                scene,
                CAUSE,
                Subject(node=this_node(scene)),
                confidence=0.95,
                summary=(
                    f"chains of kube-proxy hold {rules[LEGACY]} rules in iptables-legacy and "
                    f"{rules[NFT]} in iptables-nft: both act on every packet"
                ),
                evidence=[
                    Evidence("rule", f"iptables-{name}: {rules[name]} rules in KUBE- chains")
                    for name in (LEGACY, NFT)
                ],
                remedy=CAUSE.steps(),
            )
