"""Nodes to walk packets through: the lab's rules as the tools' text, read by our readers."""

from __future__ import annotations

from lab.rules import iptables, ipvs, nftables
from lab.rules.plan import node_plan, port_plans
from tracer import address
from tracer.cluster.model import Cluster
from tracer.events import PROTOCOL_NAMES
from tracer.node import ipset, nft_text
from tracer.node.iptables import parse as parse_iptables
from tracer.node.ipvs_servers import parse_servers
from tracer.node.lines import Unread
from tracer.node.model import IPVS_DEVICE, InterfaceAddress, NodeState
from tracer.node.nft_ruleset import NftRuleset
from tracer.node.routing import NextHop, Route
from tracer.path.networks import network, number
from tracer.path.packet import Packet
from tracer.path.path import Path, summed
from tracer.path.walk import Walker

PROTOCOLS = {name: number for number, name in PROTOCOL_NAMES.items()}
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.all.route_localnet": "1",
    "net.ipv4.vs.conntrack": "1",
}
KNOWN = frozenset(
    {"addresses", "interfaces", "sysctls", "routes", "policy_rules", "xtables", "nft", "xtables.ip", "xtables.ip6",
     "address_sets", "virtual_servers"}
)  # fmt: skip


def route(text: str, device: str, gateway: str = "", kind: str = "unicast") -> Route:
    """``route("10.0.0.0/8", "eth0")``; a table of its own for local addresses."""
    value, mask = network(text)
    hops = (NextHop(device, address.parse(gateway) if gateway else b""),) if device else ()
    return Route(
        table="local" if kind == "local" else "main",
        kind=kind,
        network=value.to_bytes(16, "big"),
        prefix=mask.bit_count(),
        ipv6=":" in text,
        hops=hops,
    )


def interface(name: str, *texts: str) -> list[InterfaceAddress]:
    """Addresses of one interface, ``10.0.0.1/24``."""
    found = []
    for text in texts:
        host, _, bits = text.partition("/")
        found.append(InterfaceAddress(name, address.parse(host), int(bits)))
    return found


def node(
    addresses: list[InterfaceAddress],
    routes: list[Route],
    *,
    xtables: str = "",
    ipv6: bool = False,
    nft: str = "",
    sets: str = "",
    servers: str = "",
    sysctls: dict[str, str] | None = None,
    unknown: tuple[str, ...] = (),
) -> NodeState:
    """A node out of the text of its tools."""
    unread = Unread("rules")
    local = [route(address.text(entry.ip), entry.interface, kind="local") for entry in addresses]
    state = NodeState(
        addresses=tuple(addresses),
        routes=(*local, route("127.0.0.0/8", "lo", kind="local"), *routes),
        xtables=parse_iptables(xtables, unread, ipv6=ipv6),
        nft=nft_text.parse(nft, unread) if nft else NftRuleset(),
        address_sets=ipset.parse(sets, unread),
        virtual_servers=parse_servers(servers, unread),
        sysctls=SYSCTLS | (sysctls or {}),
        known=KNOWN - set(unknown),
    )
    assert unread.listed() == ()
    return state


def programmed(
    cluster: Cluster,
    name: str,
    mode: str,
    addresses: list[InterfaceAddress],
    routes: list[Route],
    *,
    ipv6: bool = False,
    sysctls: dict[str, str] | None = None,
) -> NodeState:
    """A node as kube-proxy would leave it in this mode."""
    plan, plans = node_plan(cluster, name, ipv6), port_plans(cluster, name, ipv6)
    if mode == "iptables":
        rules = {"xtables": iptables.generate(plan, plans)}
    elif mode == "nftables":
        rules = {"nft": nftables.generate(plan, plans)}
    else:
        bound = ipvs.bound_addresses(plan, plans)
        prefix = 128 if ipv6 else 32
        addresses = addresses + interface(IPVS_DEVICE, *(f"{ip}/{prefix}" for ip in bound))
        rules = {
            "xtables": ipvs.rules(plan, plans),
            "sets": ipvs.ipset(plan, plans).replace(" -exist", "").replace("flush ", "#"),
            "servers": ipvs.ipvsadm(plan, plans),
        }
        rules["sets"] = "\n".join(x for x in rules["sets"].splitlines() if x[0] != "#")
    return node(addresses, routes, ipv6=ipv6, sysctls=sysctls, **rules)


def packet(source: str, target: str, incoming: str = "", protocol: str = "tcp") -> Packet:
    """``packet("10.0.0.2", "10.96.0.10:80", "cni0")``."""
    host, _, port = target.rpartition(":")
    return Packet(
        PROTOCOLS[protocol],
        address.parse(source),
        address.parse(host.strip("[]")),
        None,
        int(port),
        incoming=incoming,
    )


def walked(state: NodeState, sent: Packet) -> Path:
    return summed(Walker(state, ipv6=sent.ipv6).walk(sent))


def told(path: Path) -> str:
    """A path in one line: verdict, backends, masquerade, or why not."""
    if path.verdict in ("dropped", "rejected"):
        return f"{path.verdict}: {path.cause}"
    if path.verdict == "unknown":
        return f"unknown: {'; '.join(path.unknown)}"
    backends = ", ".join(address.endpoint(c.ip, c.port) for c in path.choices)
    words = [path.verdict, backends, "masquerade" if path.masquerade else ""]
    return " ".join(word for word in words if word)


__all__ = ["interface", "node", "number", "packet", "programmed", "route", "told", "walked"]
