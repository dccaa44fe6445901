"""How much a node holds: rules, chains, sets and servers, counted."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.node.model import IPVS_DEVICE, NodeState
from tracer.node.nft_ruleset import NftTable
from tracer.node.xtables import XtTables

Size = tuple[str, dict[str, int]]
"""What is counted, and its numbers by what they count."""


def sizes(state: NodeState) -> Iterator[Size]:
    """Everything that was read, in the order of the state directory's files."""
    for tables in state.xtables:
        yield from _xtables(tables)
    yield from (_nft(table) for table in state.nft.tables.values())
    if "address_sets" in state.known:
        members = sum(len(found.members) for found in state.address_sets)
        yield "ipset", {"sets": len(state.address_sets), "members": members}
    if "virtual_servers" in state.known:
        servers = state.virtual_servers
        backends = sum(len(server.backends) for server in servers)
        yield "ipvs", {"virtual servers": len(servers), "real servers": backends}
    if "addresses" in state.known:
        bound = sum(one.interface == IPVS_DEVICE for one in state.addresses)
        yield "addresses", {"addresses": len(state.addresses), f"on {IPVS_DEVICE}": bound}
    if "routes" in state.known:
        yield "routes", {"routes": len(state.routes), "policy rules": len(state.policy_rules)}


def _xtables(tables: XtTables) -> Iterator[Size]:
    tool = "ip6tables" if tables.ipv6 else "iptables"
    variant = f"-{tables.variant}" if tables.variant else ""
    for name, chains in tables.tables.items():
        proxied = [chain for chain in chains.values() if chain.name.startswith("KUBE-")]
        yield (
            f"{tool}{variant} {name}",
            {
                "rules": sum(len(chain.lines) for chain in chains.values()),
                "chains": len(chains),
                "rules in KUBE- chains": sum(len(chain.lines) for chain in proxied),
            },
        )


def _nft(table: NftTable) -> Size:
    return (
        f"nft {table.family} {table.name}",
        {
            "rules": sum(len(chain.rules) for chain in table.chains.values()),
            "chains": len(table.chains),
            "sets and maps": len(table.sets),
            "elements": sum(len(s.exact) + len(s.ranges) for s in table.sets.values()),
        },
    )
