"""ipvs mode: virtual servers, the addresses of ``kube-ipvs0``, ipsets and the rules around them.

Source: ``syncProxyRules``, ``ipsetInfo``, ``ipsetWithIptablesChain``, ``iptablesJumpChain`` and
``writeIptablesRules`` of kube-proxy's ipvs proxier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.rules.iptables import Table, comment, forwarding, host, masquerading
from lab.rules.plan import NodePlan, PortPlan, Target
from tracer.node.chain_names import ipset_name

SCHEDULER = "rr"

IP_PORT, IP_PORT_IP, IP_PORT_NET = "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net"
PORT_BITMAP, IP_ONLY = "bitmap:port", "hash:ip"
SETS = {
    "KUBE-LOOP-BACK": (
        IP_PORT_IP,
        "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
    ),
    "KUBE-CLUSTER-IP": (IP_PORT, "Kubernetes service cluster ip + port for masquerade purpose"),
    "KUBE-EXTERNAL-IP": (
        IP_PORT,
        "Kubernetes service external ip + port for masquerade and filter purpose",
    ),
    "KUBE-EXTERNAL-IP-LOCAL": (
        IP_PORT,
        "Kubernetes service external ip + port with externalTrafficPolicy=local",
    ),
    "KUBE-LOAD-BALANCER": (IP_PORT, "Kubernetes service lb portal"),
    "KUBE-LOAD-BALANCER-LOCAL": (
        IP_PORT,
        "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
    ),
    "KUBE-LOAD-BALANCER-FW": (
        IP_PORT,
        "Kubernetes service load balancer ip + port for load balancer with sourceRange",
    ),
    "KUBE-LOAD-BALANCER-SOURCE-IP": (
        IP_PORT_IP,
        "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
    ),
    "KUBE-LOAD-BALANCER-SOURCE-CIDR": (
        IP_PORT_NET,
        "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
    ),
    "KUBE-NODE-PORT-TCP": (PORT_BITMAP, "Kubernetes nodeport TCP port for masquerade purpose"),
    "KUBE-NODE-PORT-LOCAL-TCP": (
        PORT_BITMAP,
        "Kubernetes nodeport TCP port with externalTrafficPolicy=local",
    ),
    "KUBE-NODE-PORT-UDP": (PORT_BITMAP, "Kubernetes nodeport UDP port for masquerade purpose"),
    "KUBE-NODE-PORT-LOCAL-UDP": (
        PORT_BITMAP,
        "Kubernetes nodeport UDP port with externalTrafficPolicy=local",
    ),
    "KUBE-NODE-PORT-SCTP-HASH": (
        IP_PORT,
        "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
    ),
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH": (
        IP_PORT,
        "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
    ),
    "KUBE-HEALTH-CHECK-NODE-PORT": (PORT_BITMAP, "Kubernetes health check node port"),
    "KUBE-IPVS-IPS": (IP_ONLY, "Addresses assigned to kube-ipvs0"),
}
"""Type and comment of every set, in the order kube-proxy makes them."""

SET_RULES = (
    ("nat", "KUBE-POSTROUTING", "KUBE-LOOP-BACK", "dst,dst,src", "", "MASQUERADE"),
    ("nat", "KUBE-SERVICES", "KUBE-LOAD-BALANCER", "dst,dst", "", "KUBE-LOAD-BALANCER"),
    ("nat", "KUBE-LOAD-BALANCER", "KUBE-LOAD-BALANCER-LOCAL", "dst,dst", "", "RETURN"),
    ("nat", "KUBE-NODE-PORT", "KUBE-NODE-PORT-LOCAL-TCP", "dst", "tcp", "RETURN"),
    ("nat", "KUBE-NODE-PORT", "KUBE-NODE-PORT-TCP", "dst", "tcp", "KUBE-MARK-MASQ"),
    ("nat", "KUBE-NODE-PORT", "KUBE-NODE-PORT-LOCAL-UDP", "dst", "udp", "RETURN"),
    ("nat", "KUBE-NODE-PORT", "KUBE-NODE-PORT-UDP", "dst", "udp", "KUBE-MARK-MASQ"),
    ("nat", "KUBE-NODE-PORT", "KUBE-NODE-PORT-LOCAL-SCTP-HASH", "dst,dst", "sctp", "RETURN"),
    ("nat", "KUBE-NODE-PORT", "KUBE-NODE-PORT-SCTP-HASH", "dst,dst", "sctp", "KUBE-MARK-MASQ"),
    (
        *("filter", "KUBE-PROXY-FIREWALL", "KUBE-LOAD-BALANCER-FW", "dst,dst", ""),
        "KUBE-SOURCE-RANGES-FIREWALL",
    ),
    (
        *("filter", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-LOAD-BALANCER-SOURCE-CIDR"),
        *("dst,dst,src", "", "RETURN"),
    ),
    (
        *("filter", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-LOAD-BALANCER-SOURCE-IP"),
        *("dst,dst,src", "", "RETURN"),
    ),
)
"""(table, chain, set, match, protocol, target): written only for sets with members."""

JUMPS = (
    ("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
    ("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals"),
    ("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    ("filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter"),
    ("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    ("filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules"),
    ("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    ("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
    ("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter"),
)
"""As they stand in the end: kube-proxy puts each in front of those before it."""
ACCESS_SETS = ("LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL")

Members = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class VirtualServer:
    """One ``ipvsadm`` service and its real servers."""

    protocol: str
    ip: str
    port: int
    persistent_seconds: int
    targets: tuple[Target, ...]

    def lines(self) -> list[str]:
        """As ``ipvsadm -R`` reads it."""
        flag = "-u" if self.protocol == "udp" else "-t"
        if self.protocol == "sctp":
            flag = "--sctp-service"
        at = f"{flag} {_at(self.ip, self.port)}"
        sticky = f" -p {self.persistent_seconds}" if self.persistent_seconds else ""
        lines = [f"-A {at} -s {SCHEDULER}{sticky}"]
        return lines + [f"-a {at} -r {target.address} -m -w 1" for target in self.targets]


def virtual_servers(node: NodePlan, plans: Sequence[PortPlan]) -> list[VirtualServer]:
    """Every virtual server of this node: Service addresses, and node addresses by node port."""
    servers = []
    for plan in plans:
        internal = [(plan.cluster_ip, plan.port)]
        outside = [(ip, plan.port) for ip in (*plan.external_ips, *plan.balancer_ips)]
        if plan.node_port:
            outside += [(ip, plan.node_port) for ip in node.local_addresses]
        servers += [
            *_servers(plan, internal, plan.internal_targets),
            *_servers(plan, outside, plan.external_targets),
        ]
    return servers


def ipvsadm(node: NodePlan, plans: Sequence[PortPlan]) -> str:
    """Input for ``ipvsadm -R``."""
    servers = virtual_servers(node, plans)
    return "".join(line + "\n" for server in servers for line in server.lines())


def bound_addresses(node: NodePlan, plans: Sequence[PortPlan]) -> list[str]:
    """What goes on ``kube-ipvs0``: every Service address that this node does not own.

    That another node owns one is not looked at: so a Service with node addresses as externalIPs
    makes every other node deliver that node's traffic to itself.
    """
    found = {
        ip
        for plan in plans
        for ip in (plan.cluster_ip, *plan.external_ips, *plan.balancer_ips)
        if ip not in node.local_addresses
    }
    return sorted(found)


def members(node: NodePlan, plans: Sequence[PortPlan]) -> Members:
    """Entries of every set, also of the empty ones."""
    found: Members = {name: [] for name in SETS}
    for plan in plans:
        _service_members(node, plan, found)
        for target in plan.local_targets:
            entry = f"{target.ip},{plan.protocol}:{target.port},{target.ip}"
            found["KUBE-LOOP-BACK"].append(entry)
    found["KUBE-IPVS-IPS"] = bound_addresses(node, plans)
    return {name: list(dict.fromkeys(entries)) for name, entries in found.items()}


def ipset(node: NodePlan, plans: Sequence[PortPlan]) -> str:
    """Input for ``ipset restore``."""
    lines = []
    family = "inet6" if node.ipv6 else "inet"
    for name, entries in members(node, plans).items():
        kind = SETS[name][0]
        own = ipset_name(name, node.ipv6)
        shape = "range 0-65535" if kind == PORT_BITMAP else f"family {family}"
        lines.append(f"create {own} {kind} {shape} -exist")
        lines.append(f"flush {own}")
        lines += [f"add {own} {entry} -exist" for entry in entries]
    return "\n".join(lines) + "\n"


def rules(node: NodePlan, plans: Sequence[PortPlan]) -> str:
    """Input for ``iptables-restore``: the rules around IPVS."""
    filled = {name for name, entries in members(node, plans).items() if entries}
    nat, filters = Table("nat"), Table("filter")
    _glue(nat, filters)
    loopback = "::1/128" if node.ipv6 else "127.0.0.0/8"
    nat.add("KUBE-SERVICES", f"-s {loopback} -j RETURN")
    tables = {"nat": nat, "filter": filters}
    for table, chain, name, match, protocol, target in SET_RULES:
        if name in filled:
            wanted = f"-p {protocol}" if protocol else ""
            set_match = _match(node, name, match)
            reason = comment(SETS[name][1])
            tables[table].add(chain, wanted, reason, set_match, f"-j {target}")
    _masquerade_services(node, filled, nat)
    _filters(node, filters)
    _refuse_node(node, plans, filters)
    masquerading(nat)
    return filters.text(("INPUT", "FORWARD", "OUTPUT")) + nat.text(
        ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")
    )


def _at(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _servers(
    plan: PortPlan, addresses: Iterable[tuple[str, int]], preferred: tuple[Target, ...]
) -> list[VirtualServer]:
    """With a Local policy and nobody here kube-proxy takes all endpoints: its issue 97081."""
    targets = preferred or plan.targets
    return [
        VirtualServer(plan.protocol, ip, port, plan.affinity_seconds, targets)
        for ip, port in addresses
    ]


def _service_members(node: NodePlan, plan: PortPlan, found: Members) -> None:
    protocol, local = plan.protocol, "-LOCAL" if plan.external_local else ""
    found["KUBE-CLUSTER-IP"].append(f"{plan.cluster_ip},{protocol}:{plan.port}")
    for ip in plan.external_ips:
        found[f"KUBE-EXTERNAL-IP{local}"].append(f"{ip},{protocol}:{plan.port}")
    for ip in plan.balancer_ips:
        entry = f"{ip},{protocol}:{plan.port}"
        found["KUBE-LOAD-BALANCER"].append(entry)
        if plan.external_local:
            found["KUBE-LOAD-BALANCER-LOCAL"].append(entry)
        if plan.source_ranges:
            found["KUBE-LOAD-BALANCER-FW"].append(entry)
            if plan.allows_node(node):
                found["KUBE-LOAD-BALANCER-SOURCE-IP"].append(f"{entry},{ip}")
        ranges = [f"{entry},{text}" for text in plan.source_ranges]
        found["KUBE-LOAD-BALANCER-SOURCE-CIDR"] += ranges
    if plan.node_port:
        entries, ending = [str(plan.node_port)], protocol.upper()
        if protocol == "sctp":
            entries = [f"{ip},sctp:{plan.node_port}" for ip in node.local_addresses]
            ending = "SCTP-HASH"
        for name in dict.fromkeys(("", local)):
            found[f"KUBE-NODE-PORT{name}-{ending}"] += entries
    if plan.health_port:
        found["KUBE-HEALTH-CHECK-NODE-PORT"].append(str(plan.health_port))


def _match(node: NodePlan, name: str, match: str) -> str:
    return f"-m set --match-set {ipset_name(name, node.ipv6)} {match}"


def _glue(nat: Table, filters: Table) -> None:
    for name in ("SERVICES", "POSTROUTING", "MARK-MASQ", "NODE-PORT", "LOAD-BALANCER"):
        nat.chain(f"KUBE-{name}")
    for name in ("FORWARD", "NODE-PORT", "PROXY-FIREWALL", "SOURCE-RANGES-FIREWALL"):
        filters.chain(f"KUBE-{name}")
    filters.chain("KUBE-IPVS-FILTER")
    filters.chain("KUBE-IPVS-OUT-FILTER")
    for table, chain, target, text in JUMPS:
        (nat if table == "nat" else filters).add(chain, comment(text), f"-j {target}")


def _masquerade_services(node: NodePlan, filled: set[str], nat: Table) -> None:
    """The part of nat KUBE-SERVICES that marks and accepts."""
    if "KUBE-CLUSTER-IP" in filled:
        reason = comment(SETS["KUBE-CLUSTER-IP"][1])
        match = _match(node, "KUBE-CLUSTER-IP", "dst,dst")
        for text in node.pod_ranges:
            nat.add("KUBE-SERVICES", f"! -s {text}", reason, match, "-j KUBE-MARK-MASQ")
    for name in ("KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"):
        if name not in filled:
            continue
        reason, match = comment(SETS[name][1]), _match(node, name, "dst,dst")
        if name == "KUBE-EXTERNAL-IP":
            nat.add("KUBE-SERVICES", reason, match, "-j KUBE-MARK-MASQ")
        outside = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
        nat.add("KUBE-SERVICES", reason, match, outside, "-j ACCEPT")
        nat.add("KUBE-SERVICES", reason, match, "-m addrtype --dst-type LOCAL -j ACCEPT")
    nat.add("KUBE-SERVICES", "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT")
    nat.add("KUBE-LOAD-BALANCER", "-j KUBE-MARK-MASQ")
    for name in ("KUBE-CLUSTER-IP", "KUBE-LOAD-BALANCER"):
        if name in filled:
            nat.add("KUBE-SERVICES", _match(node, name, "dst,dst"), "-j ACCEPT")


def _filters(node: NodePlan, filters: Table) -> None:
    filters.add("KUBE-SOURCE-RANGES-FIREWALL", "-j DROP")
    forwarding(filters)
    health = _match(node, "KUBE-HEALTH-CHECK-NODE-PORT", "dst")
    reason = comment("Kubernetes health check node port")
    filters.add("KUBE-NODE-PORT", reason, health, "-j ACCEPT")
    for name in ACCESS_SETS:
        match = _match(node, f"KUBE-{name}", "dst,dst")
        filters.add("KUBE-IPVS-FILTER", match, "-j RETURN")
    filters.add("KUBE-IPVS-FILTER", health, "-j RETURN")
    bound = _match(node, "KUBE-IPVS-IPS", "dst")
    filters.add("KUBE-IPVS-FILTER", f"-m conntrack --ctstate NEW {bound} -j REJECT")


def _refuse_node(node: NodePlan, plans: Sequence[PortPlan], filters: Table) -> None:
    """A node outside the source ranges is kept from the load balancer's address.

    IPVS gives its packet that address as source too. Releases after 1.28.
    """
    for plan in plans:
        if not plan.source_ranges or plan.allows_node(node):
            continue
        for ip in plan.balancer_ips:
            served = f"-m ipvs --vaddr {ip} --vproto {plan.protocol} --vport {plan.port}"
            filters.add("KUBE-IPVS-OUT-FILTER", f"-s {host(ip)}", served, "-j DROP")
