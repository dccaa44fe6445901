"""nftables mode: one ``nft -f`` input that replaces the family's ``kube-proxy`` table atomically.

Source: ``setupNFTables`` and ``syncProxyRules`` of kube-proxy's nftables proxier.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.rules.plan import MASQUERADE_MARK, NodePlan, PortPlan, Target
from tracer.node.chain_names import nft_endpoint, nft_port

BASE_CHAINS = (
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    ("filter-output-pre-dnat", "filter", "output", -110),
    ("filter-input", "filter", "input", 0),
    ("filter-forward", "filter", "forward", 0),
    ("filter-output", "filter", "output", 0),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
)
PLAIN_CHAINS = (
    *("cluster-ips-check", "firewall-check", "mark-for-masquerade", "masquerading"),
    *("nodeport-endpoints-check", "reject-chain", "services", "service-endpoints-check"),
)
VERDICT_MAPS = (
    ("firewall-ips", True, "destinations that are subject to LoadBalancerSourceRanges"),
    (
        "no-endpoint-nodeports",
        False,
        "vmap to drop or reject packets to service nodeports with no endpoints",
    ),
    (
        "no-endpoint-services",
        True,
        "vmap to drop or reject packets to services with no endpoints",
    ),
    ("service-ips", True, "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
    ("service-nodeports", False, "NodePort traffic"),
)
"""(name, keyed by address too, comment)."""


class Script:
    """Commands on one family's table, in order."""

    def __init__(self, ipv6: bool) -> None:
        self.ip = "ip6" if ipv6 else "ip"
        self.type = "ipv6_addr" if ipv6 else "ipv4_addr"
        self.table = f"{self.ip} kube-proxy"
        self.lines = [f"add table {self.table}", f"delete table {self.table}"]
        self.lines.append(f'add table {self.table} {{ comment "rules for kube-proxy" ; }}')

    def chain(self, name: str, body: str = "") -> str:
        """Declare a chain; its name."""
        self.lines.append(f"add chain {self.table} {name} {body}".rstrip())
        return name

    def rule(self, chain: str, text: str) -> None:
        """Append a rule; ``IP`` stands for the family's ``ip`` or ``ip6``."""
        self.lines.append(f"add rule {self.table} {chain} {text.replace('IP ', self.ip + ' ')}")

    def element(self, name: str, text: str) -> None:
        """Add to a set or map."""
        self.lines.append(f"add element {self.table} {name} {{ {text} }}")


def generate(node: NodePlan, plans: Sequence[PortPlan]) -> str:
    """The whole table for one family."""
    script = Script(node.ipv6)
    _containers(node, script)
    _glue(node, script)
    if node.addresses:
        script.element("nodeport-ips", node.addresses[0])
    for plan in plans:
        _dispatch(node, plan, script)
        _addresses(plan, script)
    return "\n".join(script.lines) + "\n"


def _containers(node: NodePlan, script: Script) -> None:
    table, kind = script.table, script.type
    script.lines.append(
        f'add set {table} cluster-ips {{ type {kind} ; comment "Active ClusterIPs" ; }}'
    )
    if node.addresses:
        text = "IPs that accept NodePort traffic"
        script.lines.append(f'add set {table} nodeport-ips {{ type {kind} ; comment "{text}" ; }}')
    for name, keyed, text in VERDICT_MAPS:
        key = f"{kind} . inet_proto . inet_service" if keyed else "inet_proto . inet_service"
        script.lines.append(
            f'add map {table} {name} {{ type {key} : verdict ; comment "{text}" ; }}'
        )
    for name, chain_type, hook, priority in BASE_CHAINS:
        script.chain(name, f"{{ type {chain_type} hook {hook} priority {priority} ; }}")
    for name in PLAIN_CHAINS:
        script.chain(name)


def _glue(node: NodePlan, script: Script) -> None:
    ranges = ", ".join(node.service_ranges)
    here, on_any = "IP daddr @nodeport-ips", ""
    if not node.addresses:  # no primary address to select: every local one but loopback
        here = f"IP daddr != {'::1' if node.ipv6 else '127.0.0.0/8'}"
        on_any = "fib daddr type local "
    destination = "IP daddr . meta l4proto . th dport vmap"
    new = "ct state new jump"
    rules = (
        ("cluster-ips-check", "IP daddr @cluster-ips reject comment "
         '"Reject traffic to invalid ports of ClusterIPs"'),
        ("cluster-ips-check", f"IP daddr {{ {ranges} }} drop comment "
         '"Drop traffic to unallocated ClusterIPs"'),
        ("filter-prerouting-pre-dnat", f"{new} firewall-check"),
        ("filter-output-pre-dnat", f"{new} firewall-check"),
        ("filter-forward", f"{new} service-endpoints-check"),
        ("filter-forward", f"{new} cluster-ips-check"),
        ("filter-input", f"{new} nodeport-endpoints-check"),
        ("filter-input", f"{new} service-endpoints-check"),
        ("filter-output", f"{new} service-endpoints-check"),
        ("filter-output", f"{new} cluster-ips-check"),
        ("firewall-check", f"{destination} @firewall-ips"),
        ("mark-for-masquerade", f"mark set mark or {MASQUERADE_MARK}"),
        ("masquerading", f"mark and {MASQUERADE_MARK} == 0 return"),
        ("masquerading", f"mark set mark xor {MASQUERADE_MARK}"),
        ("masquerading", "masquerade fully-random"),
        ("nat-output", "jump services"),
        ("nat-postrouting", "jump masquerading"),
        ("nat-prerouting", "jump services"),
        ("nodeport-endpoints-check", f"{here} meta l4proto . th dport vmap "
         "@no-endpoint-nodeports"),
        ("reject-chain", "reject"),
        ("services", f"{destination} @service-ips"),
        ("services", f"{on_any}{here} meta l4proto . th dport vmap @service-nodeports"),
        ("service-endpoints-check", f"{destination} @no-endpoint-services"),
    )  # fmt: skip
    for chain, text in rules:
        script.rule(chain, text)


def _tail(plan: PortPlan) -> str:
    return nft_port(plan.namespace, plan.service, plan.protocol, plan.port_name)


def _endpoint_tail(plan: PortPlan, target: Target) -> str:
    name = (plan.namespace, plan.service, plan.protocol, plan.port_name)
    return nft_endpoint(*name, target.ip, target.port)


def _addresses(plan: PortPlan, script: Script) -> None:
    """Map elements: each address to its chain, or to a refusal."""
    tail = _tail(plan)
    internal = f"{'local' if plan.internal_local else 'service'}-{tail}"
    refusal = "drop" if plan.targets else "goto reject-chain"
    why = f'comment "{plan.label}"'
    script.element("cluster-ips", plan.cluster_ip)
    key = f"{plan.cluster_ip} . {plan.protocol} . {plan.port}"
    if plan.internal_targets:
        script.element("service-ips", f"{key} : goto {internal}")
    else:
        script.element("no-endpoint-services", f"{key} {why} : {refusal}")
    for ip in (*plan.external_ips, *plan.balancer_ips):
        key = f"{ip} . {plan.protocol} . {plan.port}"
        if plan.targets:
            script.element("service-ips", f"{key} : goto external-{tail}")
        if not plan.external_targets:
            script.element("no-endpoint-services", f"{key} {why} : {refusal}")
        if ip in plan.balancer_ips and plan.source_ranges and plan.targets:
            script.element("firewall-ips", f"{key} : goto firewall-{tail}")
    if plan.node_port:
        key = f"{plan.protocol} . {plan.node_port}"
        if plan.targets:
            script.element("service-nodeports", f"{key} : goto external-{tail}")
        if not plan.external_targets:
            script.element("no-endpoint-nodeports", f"{key} {why} : {refusal}")


def _dispatch(node: NodePlan, plan: PortPlan, script: Script) -> None:
    if not plan.targets:
        return
    tail = _tail(plan)
    cluster_used = not plan.internal_local or plan.external
    local_used = plan.internal_local or (plan.external_local and plan.external)
    for target in plan.targets if cluster_used else plan.local_targets:
        _endpoint(plan, target, script)
    if cluster_used:
        _spread(node, plan, f"service-{tail}", plan.targets, not plan.internal_local, script)
    if local_used and plan.local_targets:
        _spread(node, plan, f"local-{tail}", plan.local_targets, plan.internal_local, script)
    if plan.external:
        _external(node, plan, tail, script)
    if plan.source_ranges and plan.balancer_ips:
        chain = script.chain(f"firewall-{tail}")
        script.rule(chain, f"IP saddr != {{ {', '.join(plan.allowed_sources(node))} }} drop")


def _endpoint(plan: PortPlan, target: Target, script: Script) -> None:
    tail = _endpoint_tail(plan, target)
    chain = script.chain(f"endpoint-{tail}")
    script.rule(chain, f"IP saddr {target.ip} jump mark-for-masquerade")
    if plan.affinity_seconds:
        script.lines.append(
            f"add set {script.table} affinity-{tail} {{ type {script.type} ; "
            f"flags dynamic,timeout ; timeout {plan.affinity_seconds}s ; }}"
        )
        script.rule(chain, f"update @affinity-{tail} {{ IP saddr }}")
    script.rule(chain, f"meta l4proto {plan.protocol} dnat to {target.address}")


def _spread(
    node: NodePlan,
    plan: PortPlan,
    chain: str,
    targets: Sequence[Target],
    internal: bool,
    script: Script,
) -> None:
    script.chain(chain)
    if internal:
        for text in node.pod_ranges:
            away = f"IP daddr {plan.cluster_ip} IP saddr != {text}"
            script.rule(chain, f"{away} jump mark-for-masquerade")
    tails = [_endpoint_tail(plan, target) for target in targets]
    if plan.affinity_seconds:
        for tail in tails:
            script.rule(chain, f"IP saddr @affinity-{tail} goto endpoint-{tail}")
    choices = " , ".join(f"{index} : goto endpoint-{tail}" for index, tail in enumerate(tails))
    script.rule(chain, f"numgen random mod {len(tails)} vmap {{ {choices} }}")


def _external(node: NodePlan, plan: PortPlan, tail: str, script: Script) -> None:
    chain = script.chain(f"external-{tail}")
    if not plan.external_local:
        script.rule(chain, "jump mark-for-masquerade")
        script.rule(chain, f"goto service-{tail}")
        return
    local = "fib saddr type local"
    for text in node.pod_ranges:
        short = 'comment "short-circuit pod traffic"'
        script.rule(chain, f"IP saddr {text} goto service-{tail} {short}")
    script.rule(chain, f'{local} jump mark-for-masquerade comment "masquerade local traffic"')
    script.rule(chain, f'{local} goto service-{tail} comment "short-circuit local traffic"')
    if plan.local_targets:
        script.rule(chain, f"goto local-{tail}")
