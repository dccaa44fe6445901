"""iptables mode: input for ``iptables-restore`` and ``ip6tables-restore``.

Source: ``syncProxyRules`` and ``writeServiceToEndpointRules`` of kube-proxy's iptables proxier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.rules.plan import MASQUERADE_MARK, NodePlan, PortPlan, Target
from tracer.node.chain_names import iptables_hash

MARK = f"{MASQUERADE_MARK}/{MASQUERADE_MARK}"
PORTALS = '-m comment --comment "kubernetes service portals"'
EXTERNAL_PORTALS = '-m comment --comment "kubernetes externally-visible service portals"'
NEW = "-m conntrack --ctstate NEW"
LAST = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"


@dataclass
class Table:
    """One table being written: chains in order of declaration, then rules."""

    name: str
    chains: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)

    def chain(self, name: str) -> str:
        """Declare a chain; its name."""
        self.chains.append(name)
        return name

    def add(self, chain: str, *parts: str) -> None:
        """Append a rule."""
        self.rules.append(" ".join(("-A", chain, *filter(None, parts))))

    def text(self, base: Sequence[str]) -> str:
        """The table as ``iptables-restore`` reads it."""
        declared = [f":{name} ACCEPT [0:0]" for name in base]
        declared += [f":{name} - [0:0]" for name in self.chains]
        return "\n".join([f"*{self.name}", *declared, *self.rules, "COMMIT", ""])


def comment(text: str) -> str:
    """A comment match, quoted."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'-m comment --comment "{escaped}"'


def host(ip: str) -> str:
    """An address as a single-host range."""
    return f"{ip}/128" if ":" in ip else f"{ip}/32"


def generate(node: NodePlan, plans: Sequence[PortPlan]) -> str:
    """All three tables for one family."""
    nat, filters, mangle = Table("nat"), Table("filter"), Table("mangle")
    _glue(node, nat, filters)
    mangle.chain("KUBE-PROXY-CANARY")
    for plan in plans:
        _addresses(plan, nat, filters)
        _dispatch(node, plan, nat)
    loopback = "! -d ::1/128" if node.ipv6 else ""
    local = "-m addrtype --dst-type LOCAL"
    nat.add("KUBE-SERVICES", comment(LAST), local, loopback, "-j KUBE-NODEPORTS")
    return (
        mangle.text(("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"))
        + filters.text(("INPUT", "FORWARD", "OUTPUT"))
        + nat.text(("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"))
    )


def masquerading(nat: Table) -> None:
    """KUBE-MARK-MASQ and the tail of KUBE-POSTROUTING, the same in iptables and ipvs mode."""
    nat.add("KUBE-MARK-MASQ", f"-j MARK --or-mark {MASQUERADE_MARK}")
    nat.add("KUBE-POSTROUTING", f"-m mark ! --mark {MARK} -j RETURN")
    nat.add("KUBE-POSTROUTING", f"-j MARK --xor-mark {MASQUERADE_MARK}")
    reason = comment("kubernetes service traffic requiring SNAT")
    nat.add("KUBE-POSTROUTING", reason, "-j MASQUERADE --random-fully")


def forwarding(filters: Table) -> None:
    """The accepting part of KUBE-FORWARD, the same in iptables and ipvs mode."""
    rules = comment("kubernetes forwarding rules")
    filters.add("KUBE-FORWARD", rules, f"-m mark --mark {MARK} -j ACCEPT")
    tracked = comment("kubernetes forwarding conntrack rule")
    filters.add("KUBE-FORWARD", tracked, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")


def _glue(node: NodePlan, nat: Table, filters: Table) -> None:
    """Chains and jumps that are there whatever the Services are."""
    for name in ("SERVICES", "NODEPORTS", "POSTROUTING", "MARK-MASQ", "PROXY-CANARY"):
        nat.chain(f"KUBE-{name}")
    for name in ("EXTERNAL-SERVICES", "FIREWALL", "FORWARD", "NODEPORTS", "PROXY-FIREWALL"):
        filters.chain(f"KUBE-{name}")
    filters.chain("KUBE-SERVICES")
    filters.chain("KUBE-PROXY-CANARY")
    nat.add("PREROUTING", PORTALS, "-j KUBE-SERVICES")
    nat.add("OUTPUT", PORTALS, "-j KUBE-SERVICES")
    nat.add("POSTROUTING", comment("kubernetes postrouting rules"), "-j KUBE-POSTROUTING")
    masquerading(nat)
    _filter_jumps(filters)
    if not node.ipv6:
        filters.add(
            "KUBE-FIREWALL",
            "-d 127.0.0.0/8 ! -s 127.0.0.0/8",
            comment("block incoming localnet connections"),
            "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
        )
    filters.add("KUBE-FORWARD", "-m conntrack --ctstate INVALID -j DROP")
    forwarding(filters)


def _filter_jumps(filters: Table) -> None:
    firewall = comment("kubernetes load balancer firewall")
    forward = comment("kubernetes forwarding rules")
    health = comment("kubernetes health check service ports")
    filters.add("INPUT", "-j KUBE-FIREWALL")
    filters.add("INPUT", NEW, firewall, "-j KUBE-PROXY-FIREWALL")
    filters.add("INPUT", health, "-j KUBE-NODEPORTS")
    filters.add("INPUT", NEW, EXTERNAL_PORTALS, "-j KUBE-EXTERNAL-SERVICES")
    filters.add("FORWARD", NEW, firewall, "-j KUBE-PROXY-FIREWALL")
    filters.add("FORWARD", forward, "-j KUBE-FORWARD")
    filters.add("FORWARD", NEW, PORTALS, "-j KUBE-SERVICES")
    filters.add("FORWARD", NEW, EXTERNAL_PORTALS, "-j KUBE-EXTERNAL-SERVICES")
    filters.add("OUTPUT", "-j KUBE-FIREWALL")
    filters.add("OUTPUT", NEW, firewall, "-j KUBE-PROXY-FIREWALL")
    filters.add("OUTPUT", NEW, PORTALS, "-j KUBE-SERVICES")


def _to(ip: str, plan: PortPlan) -> str:
    return f"-d {host(ip)} {_port(plan, plan.port)}"


def _port(plan: PortPlan, port: int) -> str:
    return f"-p {plan.protocol} -m {plan.protocol} --dport {port}"


def _refusal(plan: PortPlan) -> tuple[str, str]:
    """Comment and target for an address that leads nowhere: nobody, or nobody here by policy."""
    if plan.targets:
        return comment(f"{plan.label} has no local endpoints"), "-j DROP"
    return comment(f"{plan.label} has no endpoints"), "-j REJECT"


def _addresses(plan: PortPlan, nat: Table, filters: Table) -> None:
    """From each address of the Service port to its dispatching chain, or to a refusal."""
    tail = iptables_hash(plan.label, plan.protocol)
    internal = f"KUBE-{'SVL' if plan.internal_local else 'SVC'}-{tail}"
    external = f"KUBE-EXT-{tail}"
    balancer = f"KUBE-FW-{tail}" if plan.source_ranges else external
    why, verdict = _refusal(plan)
    here = _to(plan.cluster_ip, plan)
    if plan.internal_targets:
        reason = comment(f"{plan.label} cluster IP")
        nat.add("KUBE-SERVICES", reason, here, f"-j {internal}")
    else:
        filters.add("KUBE-SERVICES", why, here, verdict)
    portals = [(ip, "external IP", external) for ip in plan.external_ips]
    portals += [(ip, "loadbalancer IP", balancer) for ip in plan.balancer_ips]
    for ip, kind, chain in portals:
        if plan.targets:
            reason = comment(f"{plan.label} {kind}")
            nat.add("KUBE-SERVICES", reason, _to(ip, plan), f"-j {chain}")
        if not plan.external_targets:
            filters.add("KUBE-EXTERNAL-SERVICES", why, _to(ip, plan), verdict)
    _node_ports(plan, external, nat, filters)
    if plan.source_ranges and plan.targets:
        denied = comment(f"{plan.label} traffic not accepted by KUBE-FW-{tail}")
        for ip in plan.balancer_ips:
            filters.add("KUBE-PROXY-FIREWALL", denied, _to(ip, plan), "-j DROP")


def _node_ports(plan: PortPlan, external: str, nat: Table, filters: Table) -> None:
    if plan.node_port:
        port = _port(plan, plan.node_port)
        why, verdict = _refusal(plan)
        if plan.targets:
            nat.add("KUBE-NODEPORTS", comment(plan.label), port, f"-j {external}")
        if not plan.external_targets:
            local = "-m addrtype --dst-type LOCAL"
            filters.add("KUBE-EXTERNAL-SERVICES", why, local, port, verdict)
    if plan.health_port:
        reason = comment(f"{plan.label} health check node port")
        port = f"-p tcp -m tcp --dport {plan.health_port}"
        filters.add("KUBE-NODEPORTS", reason, port, "-j ACCEPT")


def _dispatch(node: NodePlan, plan: PortPlan, nat: Table) -> None:
    """The chains behind the addresses: KUBE-EXT-, KUBE-FW-, KUBE-SVC-, KUBE-SVL-, KUBE-SEP-."""
    if not plan.targets:
        return
    tail = iptables_hash(plan.label, plan.protocol)
    local_used = plan.internal_local or (plan.external_local and plan.external)
    cluster_used = not plan.internal_local or plan.external
    if plan.external:
        _external(node, plan, tail, nat)
    if cluster_used:
        _spread(node, plan, f"KUBE-SVC-{tail}", plan.targets, not plan.internal_local, nat)
    if local_used and plan.local_targets:
        chain = f"KUBE-SVL-{tail}"
        _spread(node, plan, chain, plan.local_targets, plan.internal_local, nat)
    used = plan.targets if cluster_used else plan.local_targets
    for target in used:
        _endpoint(plan, target, nat)


def _external(node: NodePlan, plan: PortPlan, tail: str, nat: Table) -> None:
    chain, label = nat.chain(f"KUBE-EXT-{tail}"), plan.label
    local = "-m addrtype --src-type LOCAL"
    if plan.external_local:
        for text in node.pod_ranges:
            pods = comment(f"pod traffic for {label} external destinations")
            nat.add(chain, f"-s {text}", pods, f"-j KUBE-SVC-{tail}")
        masquerade = comment(f"masquerade LOCAL traffic for {label} external destinations")
        nat.add(chain, masquerade, local, "-j KUBE-MARK-MASQ")
        route = comment(f"route LOCAL traffic for {label} external destinations")
        nat.add(chain, route, local, f"-j KUBE-SVC-{tail}")
        if plan.local_targets:
            nat.add(chain, f"-j KUBE-SVL-{tail}")
    else:
        masquerade = comment(f"masquerade traffic for {label} external destinations")
        nat.add(chain, masquerade, "-j KUBE-MARK-MASQ")
        nat.add(chain, f"-j KUBE-SVC-{tail}")
    if plan.source_ranges and plan.balancer_ips:
        _source_ranges(node, plan, tail, nat)


def _source_ranges(node: NodePlan, plan: PortPlan, tail: str, nat: Table) -> None:
    chain = nat.chain(f"KUBE-FW-{tail}")
    reason = comment(f"{plan.label} loadbalancer IP")
    for text in plan.allowed_sources(node):
        nat.add(chain, f"-s {text}", reason, f"-j KUBE-EXT-{tail}")
    other = f"other traffic to {plan.label} will be dropped by KUBE-PROXY-FIREWALL"
    nat.add(chain, comment(other))


def _spread(
    node: NodePlan,
    plan: PortPlan,
    chain: str,
    targets: Sequence[Target],
    internal: bool,
    nat: Table,
) -> None:
    """Masquerade rule of the ClusterIP's chain, affinity, then random choice."""
    nat.chain(chain)
    if internal:
        reason = comment(f"{plan.label} cluster IP")
        for text in node.pod_ranges:
            here = _to(plan.cluster_ip, plan)
            nat.add(chain, f"! -s {text}", reason, here, "-j KUBE-MARK-MASQ")
    endpoints = [(target, _endpoint_chain(plan, target)) for target in targets]
    if plan.affinity_seconds:
        for target, name in endpoints:
            reason = comment(f"{plan.label} -> {target.address}")
            recent = f"-m recent --name {name} --rcheck --seconds {plan.affinity_seconds} --reap"
            nat.add(chain, reason, recent, f"-j {name}")
    for index, (target, name) in enumerate(endpoints):
        left = len(endpoints) - index
        chance = f"-m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
        nat.add(chain, comment(f"{plan.label} -> {target.address}"), chance, f"-j {name}")


def _endpoint_chain(plan: PortPlan, target: Target) -> str:
    return f"KUBE-SEP-{iptables_hash(plan.label, plan.protocol, target.address)}"


def _endpoint(plan: PortPlan, target: Target, nat: Table) -> None:
    chain, reason = nat.chain(_endpoint_chain(plan, target)), comment(plan.label)
    nat.add(chain, f"-s {host(target.ip)}", reason, "-j KUBE-MARK-MASQ")
    recent = f"-m recent --name {chain} --set" if plan.affinity_seconds else ""
    protocol = f"-p {plan.protocol} -m {plan.protocol}"
    nat.add(chain, reason, recent, protocol, f"-j DNAT --to-destination {target.address}")
