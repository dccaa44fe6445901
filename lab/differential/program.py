"""Giving the kernel random rules of one engine."""

from __future__ import annotations

import random

from lab.differential import ipvs_rules, nft_rules, services, xt_rules
from lab.differential.universe import Universe
from lab.shell import run

NATIVE = ("iptables", "legacy", "mixed", "nft", "services-iptables", "services-nft")
ENGINES = (*NATIVE, "ipvs")
"""``services-…`` and ``ipvs``: what kube-proxy itself programs for random Services."""
VARIANTS = {
    "iptables": ("nft",),
    "legacy": ("legacy",),
    "mixed": ("legacy", "nft"),
    "services-iptables": ("legacy",),
    "ipvs": ("legacy",),
}
"""Which variants of iptables an engine uses."""


def program(engine: str, universe: Universe, chance: random.Random) -> str:
    """Program one rule set; what it was, for a report."""
    if engine == "ipvs":
        return ipvs_rules.program(chance, universe)
    if engine == "mixed":
        return _mixed(universe, chance)
    if engine == "services-nft":
        return _nft(services.ruleset(chance, "nftables", ipv6=universe.ipv6))
    if engine == "nft":
        rules = nft_rules.ruleset(chance, universe)
        return _nft(nft_rules.CLEARED + rules)
    by_proxy = engine == "services-iptables"
    rules = (
        services.ruleset(chance, "iptables", ipv6=universe.ipv6)
        if by_proxy
        else xt_rules.ruleset(chance, universe)
    )
    (variant,) = VARIANTS[engine]
    return _xtables(universe, variant, rules)


def _mixed(universe: Universe, chance: random.Random) -> str:
    """Both variants of iptables in use; or one, and what nftables mode left behind."""
    stale = f"table {'ip6' if universe.ipv6 else 'ip'} kube-proxy"
    _nft(f"{stale}\ndelete {stale}\n")
    if chance.random() < 0.5:
        other = _xtables(universe, "nft", xt_rules.ruleset(chance, universe))
        return other + _xtables(universe, "legacy", xt_rules.ruleset(chance, universe))
    _xtables(universe, "nft", xt_rules.EMPTY)
    other = _nft(services.ruleset(chance, "nftables", ipv6=universe.ipv6))
    rules = services.ruleset(chance, "iptables", ipv6=universe.ipv6)
    return other + _xtables(universe, "legacy", rules)


def _nft(rules: str) -> str:
    run(["nft", "-f", "-"], rules)
    return rules


def _xtables(universe: Universe, variant: str, rules: str) -> str:
    run([xtables_tool(universe, variant, "restore")], rules)
    return rules


def xtables_tool(universe: Universe, variant: str, action: str) -> str:
    """``ip6tables-legacy-save`` and the like."""
    return f"ip{'6' if universe.ipv6 else ''}tables-{variant}-{action}"
