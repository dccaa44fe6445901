"""The node as its tools list it, and the states that readers make of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from lab.differential import scenery
from lab.differential.program import VARIANTS, xtables_tool
from lab.differential.universe import Universe
from lab.shell import run
from tracer.node import iproute, ipset, iptables, ipvs_servers, nft_json, nft_text, routes
from tracer.node.lines import Unread
from tracer.node.model import NodeState

Listing = Mapping[str, str]
"""Output by what it lists."""
_KNOWN = frozenset(
    {"addresses", "masters", "routes", "policy_rules", "address_sets", "nft", "xtables",
     "xtables.ip", "xtables.ip6", "sysctls", "virtual_servers"}
)  # fmt: skip


def listed(engine: str, universe: Universe) -> Listing:
    """What the tools say now: few calls, because each takes a second in emulation."""
    family = "-6" if universe.ipv6 else "-4"
    asked = "addr show\nroute show table all\nrule show\n"
    addresses, ways, rules = run(["ip", family, "-j", "-batch", "-"], asked).splitlines()
    found = {
        "addresses": addresses,
        "routes": ways,
        "rules": rules,
        "sets": run(["ipset", "save"]),
        "sysctls": json.dumps(scenery.sysctls()),
    }
    if engine.endswith("nft"):
        found["nft text"] = run(["nft", "list", "ruleset"])
    if engine not in ("legacy", "services-iptables", "ipvs"):
        found["nft"] = run(["nft", "-j", "list", "ruleset"])
    for variant in VARIANTS.get(engine, ()):
        found["xtables"] = found.get("xtables", "") + run([xtables_tool(universe, variant, "save")])
    if engine == "ipvs":
        found["servers"] = run(["ipvsadm", "-Sn"])
    return found


def states(listing: Listing, universe: Universe) -> list[NodeState]:
    """What the walk is asked about; nft both as JSON and as text."""
    unread = Unread("listing")
    found = iproute.parse(listing["addresses"], unread)
    rules = routes.parse_rules(listing["rules"], unread)
    virtual, marked = ipvs_servers.parse(listing.get("servers", ""), unread)
    base = NodeState(
        addresses=found.addresses,
        masters=found.masters,
        routes=routes.parse_routes(listing["routes"], unread),
        policy_rules=tuple(replace(rule, ipv6=universe.ipv6) for rule in rules),
        address_sets=ipset.parse(listing["sets"], unread),
        sysctls=json.loads(listing["sysctls"]),
        nft=nft_json.parse(listing.get("nft", '{"nftables": []}'), unread),
        xtables=iptables.parse(listing.get("xtables", ""), unread, ipv6=universe.ipv6),
        virtual_servers=virtual,
        mark_servers=marked,
        known=_KNOWN,
    )
    made = [base]
    if "nft text" in listing:
        made.append(replace(base, nft=nft_text.parse(listing["nft text"], unread)))
    if unread.count:
        raise ValueError("\n".join(unread.listed()))
    return made
