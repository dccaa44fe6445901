"""The same incidents with the rules of other modes: only what differs there is written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.cause_scenarios import (
    ASK_VIP,
    FIXED_PORT,
    HERE_ONLY,
    ONE_REMOTE,
    REFUSED,
    REMOTE_ONLY,
    TIMEOUT,
    VIP,
)
from lab.connection_scenarios import ECHO_3, ONCE, STICKY
from lab.faults import (
    also_in_mode,
    both,
    commands,
    connected,
    killed,
    synced,
    without_nft_rules,
    without_rules,
)
from lab.host_scenarios import FIXED
from lab.objects import unchanged
from lab.policy_scenarios import BALANCER
from lab.rules.apply import Mode
from lab.scenario import Scenario, Traffic
from lab.topology import CLIENT_ADDRESSES, KEEP_ENTRIES, LAN
from lab.traffic import Load
from tracer.node.chain_names import nft_endpoint

Differences = Mapping[str, Any]
"""Fields of a scenario that another mode changes."""
NONE: Differences = {}
SHELL, ECHO_1, GONE = "10.244.1.100", "10.244.1.11", "10.244.2.99"
NOBODY_AT_GONE = commands("worker-2", f"ip route add blackhole {GONE}")
LEADS_NOWHERE_ANY_MORE = without_nft_rules("worker-1", "nat-prerouting", GONE)
"""By hand: a sync of kube-proxy leaves such a rule, and a start of it forgets mappings."""
REJECTED_FROM_OUTSIDE = "! -i lo -j REJECT --reject-with icmp-host-prohibited"
"""As firewalls do: what the node says to itself, and so to the API server, passes."""
STALE_DATAGRAM = Load(VIP, 53, udp=1, repeats=2, timeout_s=4, source_port=5353)


def _affine(client: str, pod: str) -> str:
    """The command after which nftables mode keeps the client on that pod."""
    name = nft_endpoint("default", "echo-sticky", "tcp", "web", pod, 8080)
    return f"nft add element ip kube-proxy affinity-{name} {{ {client} }}"


def _leads_to_gone(match: str, port: int) -> str:
    """The command after which nftables mode sends such packets to a pod that is gone."""
    rule = f"ip daddr {VIP} {match} dnat to {GONE}:{port}"
    return f"nft insert rule ip kube-proxy nat-prerouting {rule}"


def _weight(pod: str, weight: int) -> str:
    return f"ipvsadm -e -t {STICKY}:80 -r {pod}:8080 -m -w {weight}"


NFTABLES: Mapping[str, Differences] = {
    **dict.fromkeys(
        (
            *("wrong-target-port", "endpoint-removal-lag", "ip-family-mismatch"),
            *("etp-local-nodename-mismatch", "etp-local-rollout-gap", "foreign-firewall-order"),
            *("endpoint-unreachable-underlay", "over-masquerade-networkpolicy"),
            *("external-ip-hijack", "no-default-route", "cidr-overlap", "lb-ip-short-circuit"),
            *("bridge-nf-call-off", "ping-vip", "lb-source-ranges-node"),
        ),
        NONE,
    ),
    "forward-policy-drop": {
        "traffic": (Traffic("shell", ASK_VIP, TIMEOUT, translated=False),),
    },
    "masquerade-missing": {
        "title": "The table without its masquerade: remote pods answer clients directly",
        "fault": both(
            synced(REMOTE_ONLY), without_nft_rules("worker-1", "masquerading", "fully-random")
        ),
    },
    "hairpin-no-masquerade": {
        "fault": both(
            synced(HERE_ONLY), without_nft_rules("worker-1", "endpoint-", "mark-for-masquerade")
        ),
        "recovery": both(
            # Chains of endpoints that are there are not written when kube-proxy starts.
            commands("worker-1", "nft delete table ip kube-proxy"),
            synced(HERE_ONLY),
        ),
    },
    "session-affinity-dead-pod": {
        "fault": both(
            commands("worker-1", _affine(SHELL, ECHO_3), _affine(CLIENT_ADDRESSES[0], ECHO_1)),
            connected("client", ONCE),
            connected("shell", ONCE),
            killed("default/echo-3"),
        ),
    },
    "stale-udp-conntrack": {
        "title": "A UDP client whose mapping leads to a pod that is gone",
        "traffic": (
            Traffic("shell", Load(VIP, 53, udp=3)),
            Traffic("shell", STALE_DATAGRAM, TIMEOUT),
        ),
        "fault": both(
            commands("worker-1", "sysctl -q -w " + " ".join(KEEP_ENTRIES)),
            NOBODY_AT_GONE,
            commands("worker-1", _leads_to_gone("udp sport 5353", 8053)),
            connected("shell", FIXED_PORT),
            LEADS_NOWHERE_ANY_MORE,
        ),
    },
    "stale-tcp-sctp-conntrack": {
        "fault": both(
            NOBODY_AT_GONE,
            commands("worker-1", _leads_to_gone("tcp sport 45000", 8080)),
            connected("shell", FIXED),
            LEADS_NOWHERE_ANY_MORE,
            synced(HERE_ONLY),
        ),
    },
    "unserved-vip-routing-loop": {
        "title": "A port that an external address does not serve, and a router that sends it back",
        "cluster": "external-ip",
        "node": "kind-worker",
        "traffic": (
            Traffic("client", Load("192.168.10.101", 8443, tcp=1, timeout_s=5), TIMEOUT, False),
        ),
        "fault": commands(
            LAN,
            "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0",
            "ip route add 192.168.10.0/24 via 172.18.0.5",
        ),
    },
}
IPTABLES: Mapping[str, Differences] = {
    "conntrack-invalid-rst": {
        "title": "The same with kube-proxy's rules of before 1.15, which drop nothing as invalid",
        "fault": both(
            synced(HERE_ONLY), without_rules("worker-1", "filter", "KUBE-FORWARD", "-j DROP")
        ),
    },
    "nodeport-localhost": {
        "title": "A node port on ::1: no mode serves it there",
        "traffic": (Traffic("worker-1", Load("::1", 30080, tcp=2), REFUSED, False),),
    },
    "stale-rules-mode-switch": {
        "title": "iptables mode, and the table of nftables mode is still there",
        "fault": also_in_mode("worker-1", "nftables", unchanged),
        "recovery": commands(
            "worker-1", "nft delete table ip kube-proxy", "nft delete table ip6 kube-proxy"
        ),
    },
}
IPVS: Mapping[str, Differences] = {
    **dict.fromkeys(
        (
            *("endpoint-removal-lag", "masquerade-missing", "wrong-target-port"),
            *("endpoint-unreachable-underlay", "vip-port-not-served"),
            *("ping-vip", "nodeport-localhost", "ip-family-mismatch", "mtu-blackhole"),
            *("lb-ip-short-circuit", "cidr-overlap", "iptables-backend-mix"),
        ),
        NONE,
    ),
    "lb-source-ranges-node": {
        # The rule that drops comes after IPVS has translated.
        "traffic": (
            Traffic("shell", Load(VIP, 80, tcp=3)),
            Traffic("worker-1", Load(BALANCER, 80, tcp=2, timeout_s=8), TIMEOUT, visible=False),
        ),
    },
    "hairpin-no-masquerade": {
        "fault": both(synced(HERE_ONLY), commands("worker-1", "ipset flush KUBE-LOOP-BACK")),
    },
    "session-affinity-dead-pod": {
        "fault": both(
            synced(ONE_REMOTE),
            connected("shell", ONCE),
            synced(unchanged),
            commands("worker-1", _weight(ECHO_3, 0)),
            connected("client", ONCE),
            commands("worker-1", _weight(ECHO_3, 1)),
            killed("default/echo-3"),
        ),
    },
    "foreign-firewall-order": {
        "fault": commands("worker-1", f"iptables -I INPUT {REJECTED_FROM_OUTSIDE}"),
        "recovery": commands("worker-1", f"iptables -D INPUT {REJECTED_FROM_OUTSIDE}"),
    },
    "stale-rules-mode-switch": {
        "title": "ipvs mode, and the rules of iptables mode still come first",
        "translator": "iptables",
    },
}
_BY_MODE: Mapping[Mode, Mapping[str, Differences]] = {
    "nftables": NFTABLES,
    "iptables": IPTABLES,
    "ipvs": IPVS,
}


def in_other_modes(scenarios: Iterable[Scenario]) -> Iterable[Scenario]:
    """These in the modes that they were not made for."""
    by_name = {scenario.name: scenario for scenario in scenarios}
    for mode, differing in _BY_MODE.items():
        for name, differences in differing.items():
            yield by_name[name].in_mode(mode, **differences)
