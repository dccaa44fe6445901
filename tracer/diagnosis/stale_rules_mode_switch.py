"""Traces of another proxy mode beside those of the present one.

Claims: the kernel still translates by rules that kube-proxy no longer keeps.
Evidence: two of: rules in KUBE-SVC- and KUBE-SEP- chains, addresses on kube-ipvs0 with
virtual servers, kube-proxy's nftables table with maps of Services.
Cannot know: which of the leftovers still match traffic; nor which they are, while
kube-proxy does not say its mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracer.diagnosis.causes.drift import STALE_MODE as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import (
    bound_addresses,
    dispatch_variants,
    proxy_tables,
    state_finding,
)
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.wording import word
from tracer.node.model import IPVS_DEVICE
from tracer.node.proxy_mode import TOLD_MODE

_CLEAN: Mapping[str, str] = {
    "ipvs": f"ip link del {IPVS_DEVICE}; ipvsadm -C",
    "iptables": (
        "iptables-save | grep -v KUBE- | iptables-restore; "
        "ip6tables-save | grep -v KUBE- | ip6tables-restore"
    ),
    "nftables": "nft delete table ip kube-proxy; nft delete table ip6 kube-proxy",
}


class StaleMode:
    """Judges the state: signatures of modes."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        traces = _traces(scene)
        stale = [mode for mode in traces if mode != scene.node.proxy_mode]
        if len(traces) < 2 or not stale:
            return
        node = this_node(scene)
        told = TOLD_MODE in scene.node.known
        yield state_finding(
            scene,
            CAUSE,
            Subject(node=node),
            confidence=0.9,
            summary=(
                f"rules of {' and '.join(stale)} mode are left beside those of "
                f"{scene.node.proxy_mode or 'another'} mode"
                if told
                else f"rules of {' and '.join(traces)} mode are there at once"
            ),
            evidence=[Evidence("rule", f"{mode}: {told}") for mode, told in traces.items()],
            remedy=_remedy(word(node) if node else "<node>", stale if told else [], list(traces)),
        )


def _remedy(node: str, stale: list[str], there: list[str]) -> tuple[str, ...]:
    """Where kube-proxy did not say its mode, cleaning up is left to who knows it."""
    if stale:
        return CAUSE.steps(node=node, clean="; ".join(_CLEAN[mode] for mode in stale))
    drain, _, restart = CAUSE.steps(node=node, clean="")
    ask = "curl -s http://localhost:10249/proxyMode   # the present mode: keep its rules"
    return (drain, ask, *(f"If it is not {mode}: {_CLEAN[mode]}" for mode in there), restart)


def _traces(scene: Scene) -> dict[str, str]:
    """What is there of each mode, by mode."""
    found = {}
    bound = bound_addresses(scene)
    if bound and scene.node.virtual_servers:
        servers = len(scene.node.virtual_servers)
        found["ipvs"] = f"{len(bound)} addresses on {IPVS_DEVICE}, {servers} virtual servers"
    if variants := dispatch_variants(scene):
        shown = ", ".join(sorted(variant or "iptables" for variant in variants))
        found["iptables"] = f"rules in KUBE-SVC- and KUBE-SEP- chains ({shown})"
    services = [t.sets["service-ips"] for t in proxy_tables(scene) if "service-ips" in t.sets]
    if entries := sum(len(known.exact) for known in services):
        found["nftables"] = f"table kube-proxy with {entries} entries in service-ips"
    return found
