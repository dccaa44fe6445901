"""What following remedies needs beside the scenarios: the meaning of prose, proofs of health."""

from __future__ import annotations

from collections.abc import Mapping

from lab.cause_scenarios import FINE, FINE_FROM_OUTSIDE, NODE, REFUSED, VIP
from lab.faults import DEFAULT_ROUTE, commands, later
from lab.objects import (
    all_of,
    with_endpoints,
    with_port,
    with_readiness,
    with_target_port,
    without_service,
)
from lab.policy_scenarios import BALANCER
from lab.remedy import Deed, changed, done, typed_on, typed_on_the_machine
from lab.scenario import Scenario, Traffic
from lab.scenarios import BY_NAME, SCENARIOS
from lab.topology import CLIENT_ADDRESSES, ROUTER_ADDRESSES
from lab.traffic import Load

PODS = {"echo-1": "10.244.1.11", "echo-2": "10.244.2.12", "echo-3": "10.244.2.13"}
SOME = Load(VIP, 80, tcp=24, udp=12, udp_port=53)
"""Enough that a dead third is hit."""
PODS_V6 = {"echo-1": "fd00:10:244:1::b", "echo-2": "fd00:10:244:2::c", "echo-3": "fd00:10:244:2::d"}
POLICY_CHAIN = "KUBE-NWPLCY-7EIXXE6JSGR4QQ4F"
NOTHING = done(later(0))
"""Advice that clients follow: ``HEALED`` is what they do then."""

BY_HAND: Mapping[str, Mapping[str, Deed]] = {
    "svc-no-endpoints": {
        "fix the selector or labels": changed(
            all_of(
                with_endpoints("default", "empty", "IPv4", PODS),
                with_endpoints("default", "empty", "IPv6", PODS_V6),
            )
        )
    },
    "wrong-target-port": {
        "correct targetPort": changed(with_target_port("default", "echo", "web", 8080))
    },
    "vip-port-not-served": {
        "to spec.ports": changed(with_port("default", "echo", "other", 8443, 8080))
    },
    "nodeport-localhost": {"Use an address of the node: curl ": NOTHING},
    "nodeport-address-not-selected": {f"Use the node's primary address: {NODE}": NOTHING},
    "ping-vip": {f"nc -vz {VIP} 80": NOTHING},
    "endpoint-unreachable-underlay": {
        "is node worker-2 up": done(
            commands(
                "worker-2",
                "ip link set eth0 up",
                f"ip route replace default via {ROUTER_ADDRESSES[0]}",
                "ip route replace 10.244.1.0/24 via 172.18.0.3",
            )
        )
    },
    "etp-local-rollout-gap": {
        '"maxUnavailable":0': changed(with_readiness("default", "echo-1", ready=True))
    },
    "discovery-not-datapath": {
        "rollout restart deployment coredns": changed(
            with_endpoints("kube-system", "kube-dns", "IPv4", PODS, target=8080)
        )
    },
    "over-masquerade-networkpolicy": {
        "an ipBlock with 172.18.0.4": done(
            commands("worker-1", f"iptables -I {POLICY_CHAIN} -s 172.18.0.4/32 -j RETURN")
        )
    },
    "cidr-overlap": {
        "Renumber the smaller of the two": done(commands("worker-1", "ip link del vpn0"))
    },
    "lb-ip-short-circuit": {"take connections without the PROXY header": NOTHING},
    "no-default-route": {
        "give the node its default route back": done(commands("worker-1", DEFAULT_ROUTE))
    },
    "unanswered-unexplained": {
        "check security groups": done(commands("worker-2", "iptables -t raw -F PREROUTING"))
    },
    "dropped-unexplained": {
        "tc filter show": done(commands("worker-1", "tc qdisc del dev eth0 clsact"))
    },
    "ipvs-external-ip-is-node-ip": {
        "give the addresses back": typed_on("master-1", "master-2", "master-3"),
        "kubectl delete service port-forward": changed(
            without_service("kube-system", "port-forward")
        ),
    },
    "rp-filter-drop": {
        "or make routes and rules": done(
            commands("worker-1", f"ip route del {CLIENT_ADDRESSES[0]}/32")
        )
    },
    "conntrack-table-full": {"nf_conntrack_max=": typed_on_the_machine},
    "snat-port-exhaustion": {
        "a range that is too narrow": done(
            commands("worker-1", "iptables -t nat -D KUBE-POSTROUTING 1")
        )
    },
    "local-vip-is-packet-source": {"First aid": typed_on("worker-1")},
}
"""By cause, then by words of the step."""

HEALED: Mapping[str, tuple[Traffic, ...]] = {
    "svc-no-endpoints": (Traffic("shell", Load("10.96.0.30", 80, tcp=3)),),
    "svc-no-endpoints-iptables": (Traffic("shell", Load("10.96.0.30", 80, tcp=3)),),
    "svc-no-endpoints-nftables": (Traffic("shell", Load("fd00:10:96::1e", 80, tcp=3)),),
    "endpoint-removal-lag": (Traffic("shell", SOME),),
    "refused-by-backend": (Traffic("shell", SOME),),
    "vip-port-not-served": (Traffic("shell", Load(VIP, 8443, tcp=3)),),
    "unserved-vip-routing-loop": (
        Traffic("client", Load(VIP, 8443, tcp=1), REFUSED),
        Traffic("client", Load(VIP, 80, tcp=3)),
        Traffic("worker-1", Load(VIP, 80, tcp=3)),
    ),
    "endpoint-unreachable-underlay": FINE,
    "ip-family-mismatch": FINE,
    "discovery-not-datapath": (Traffic("shell", Load("10.96.0.53", 53, tcp=3)),),
    "topology-hints-mismatch": FINE,
    "rp-filter-drop": FINE_FROM_OUTSIDE,
    "snat-port-exhaustion": FINE_FROM_OUTSIDE,
    "ipvs-nodest-silent-drop": FINE,
    "etp-local-ipvs-wrong-source": (Traffic("client", Load("172.18.0.2", 30081, tcp=3)),),
    "conntrack-invalid-drop": (Traffic("client", Load("10.244.1.11", 8080, tcp=2)),),
    "lb-ip-short-circuit": (Traffic("shell", Load(BALANCER, 80, tcp=3)),),
    "ping-vip": FINE,
    "nodeport-localhost": (Traffic("worker-1", Load(NODE, 30080, tcp=3)),),
    "unserved-vip-routing-loop-nftables": (
        Traffic("client", Load("192.168.10.101", 8443, tcp=1), REFUSED),
        Traffic("client", Load("192.168.10.101", 9000, tcp=3)),
    ),
}
"""Where scenarios do not say it, or mend it otherwise: what goes well then, by name or cause."""

SAYS: Mapping[str, str] = {"foreign-firewall-order": " -D "}
"""What a cause's remedy says once all is known that it needs: rules are listed a moment later."""

NOT_HERE: Mapping[str, str] = {
    "six-services-iptables": "three causes at once, each of which has an incident of its own",
    "six-services-ipvs": "three causes at once, each of which has an incident of its own",
    "six-services-nftables": "three causes at once, each of which has an incident of its own",
}
"""Incidents whose remedies are not followed, and why."""

ALONE = frozenset({"conntrack-table-full"})
"""Incidents that change what all namespaces of the machine share; nor is an API server reached."""


def healed(scenario: Scenario) -> tuple[Traffic, ...]:
    """What must go well once its remedy was followed; nothing where none is."""
    if scenario.name in NOT_HERE:
        return ()
    for name in (scenario.name, *scenario.findings):
        if name in HEALED:
            return HEALED[name]
    return scenario.healed


def firsts() -> frozenset[str]:
    """Of each cause the first incident that every kernel can make: others differ by the mode."""
    first: dict[str, str] = {}
    for name in followed(kernel_only=False):
        first.setdefault(BY_NAME[name].findings[0], name)
    return frozenset(first.values())


def followed(kernel_only: bool) -> list[str]:
    """Names of incidents whose remedies are followed: in the VM, or everywhere."""
    return [
        item.name
        for item in SCENARIOS
        if item.findings and item.kernel_only == kernel_only and item.name not in NOT_HERE
    ]
