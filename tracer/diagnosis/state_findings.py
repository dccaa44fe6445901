"""Findings about state alone, and what rules of kube-proxy are found here."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from tracer.address import text
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.diagnosis.rule import Scene
from tracer.node.model import IPVS_DEVICE
from tracer.node.nft_ruleset import NftTable
from tracer.node.proxy_mode import NFT_TABLE
from tracer.node.xtables import NFT, XtChain

DISPATCH = ("KUBE-SVC-", "KUBE-SEP-")
"""Chains that only iptables mode makes."""


def state_finding(
    scene: Scene,
    cause: Cause,
    subject: Subject,
    *,
    summary: str,
    evidence: Iterable[Evidence],
    remedy: tuple[str, ...],
    confidence: float = 0.9,
    severity: Severity | None = None,
    consequence_of: str = "",
) -> Finding:
    """A finding that no flow is needed for; it counts none."""
    return Finding(
        cause=cause.id,
        severity=severity or cause.severity,
        confidence=confidence,
        since_ns=scene.now_ns or scene.node.at_ns,
        subject=subject,
        summary=summary,
        evidence=tuple(evidence),
        remedy=remedy,
        count=0,
        consequence_of=consequence_of,
    )


def chains(scene: Scene, table: str) -> Iterator[tuple[str, XtChain]]:
    """Every chain of a table of iptables and ip6tables, with the variant that holds it."""
    for tables in scene.node.xtables:
        for chain in tables.tables.get(table, {}).values():
            yield tables.variant, chain


def dispatch_variants(scene: Scene) -> set[str]:
    """Variants of iptables in which kube-proxy's chains for Services hold rules."""
    found = {
        variant
        for variant, chain in chains(scene, "nat")
        if chain.name.startswith(DISPATCH) and chain.lines
    }
    in_nft = (table for (_, name), table in scene.node.nft.tables.items() if name == "nat")
    made = (chain for table in in_nft for chain in table.chains.values())
    if any(chain.name.startswith(DISPATCH) and chain.rules for chain in made):
        found.add(NFT)
    return found


def proxy_tables(scene: Scene) -> list[NftTable]:
    """kube-proxy's own nftables tables."""
    return [table for (_, name), table in scene.node.nft.tables.items() if name == NFT_TABLE]


def bound_addresses(scene: Scene) -> frozenset[bytes]:
    """Addresses that only kube-ipvs0 gives this node; none in other modes."""
    return scene.node.ipvs_addresses - scene.node.local_addresses


def is_public(address: bytes) -> bool:
    """Whether an address means the same machine all over the Internet."""
    return ipaddress.ip_address(text(address)).is_global


def gateways(scene: Scene) -> frozenset[bytes]:
    """Next hops of this node's routes."""
    hops = (hop for route in scene.node.routes for hop in route.hops)
    return frozenset(hop.gateway for hop in hops if hop.gateway)


def links(scene: Scene) -> Iterator[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    """Interfaces with the networks that are on the link; no host routes, no kube-ipvs0."""
    for entry in scene.node.addresses:
        ip = ipaddress.ip_address(text(entry.ip))
        whole = entry.prefix >= ip.max_prefixlen or ip.is_loopback or ip.is_link_local
        if entry.interface != IPVS_DEVICE and not whole:
            yield entry.interface, ipaddress.ip_network(f"{ip}/{entry.prefix}", strict=False)
