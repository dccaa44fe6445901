"""The same incidents with the rules of other modes: only what differs there is written here."""

from __future__ import annotations

from lab.cause_scenarios import (
    ASK_VIP,
    CAUSE_SCENARIOS,
    FIXED_PORT,
    HERE_ONLY,
    REFUSED,
    REMOTE_ONLY,
    TIMEOUT,
    VIP,
)
from lab.connection_scenarios import CONNECTION_SCENARIOS, ECHO_3, ONCE
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
from lab.host_scenarios import FIXED, HOST_SCENARIOS
from lab.objects import unchanged
from lab.policy_scenarios import POLICY_SCENARIOS
from lab.scenario import Scenario, Traffic
from lab.topology import KEEP_ENTRIES, LAN
from lab.traffic import Load
from tracer.node.chain_names import nft_endpoint

_BASES = {
    scenario.name: scenario
    for scenario in (
        *CAUSE_SCENARIOS,
        *POLICY_SCENARIOS,
        *HOST_SCENARIOS,
        *CONNECTION_SCENARIOS,
    )
}
_AS_IT_IS = (
    *("wrong-target-port", "ip-family-mismatch", "etp-local-nodename-mismatch"),
    *("etp-local-rollout-gap", "foreign-firewall-order", "endpoint-unreachable-underlay"),
    *("over-masquerade-networkpolicy", "external-ip-hijack", "no-default-route"),
    *("cidr-overlap", "lb-ip-short-circuit", "bridge-nf-call-off", "ping-vip"),
)
"""In nftables mode nothing of them is different but the rules."""
_KEEP = commands("worker-1", "sysctl -q -w " + " ".join(KEEP_ENTRIES))
_STICKY = ("default", "echo-sticky", "tcp", "web")


def _sticks(source: str, pod_ip: str) -> str:
    """The command by which a client's address is one that was given this pod."""
    name = nft_endpoint(*_STICKY, pod_ip, 8080)
    return f"nft add element ip kube-proxy affinity-{name} {{ {source} }}"


NFTABLES: tuple[Scenario, ...] = (
    *(_BASES[name].in_mode("nftables") for name in _AS_IT_IS),
    _BASES["forward-policy-drop"].in_mode(
        "nftables", traffic=(Traffic("shell", ASK_VIP, TIMEOUT, translated=False),)
    ),
    _BASES["masquerade-missing"].in_mode(
        "nftables",
        title="The table without its masquerade: remote pods answer clients directly",
        fault=both(
            synced(REMOTE_ONLY), without_nft_rules("worker-1", "masquerading", "fully-random")
        ),
    ),
    _BASES["hairpin-no-masquerade"].in_mode(
        "nftables",
        fault=both(
            synced(HERE_ONLY), without_nft_rules("worker-1", "endpoint-", "mark-for-masquerade")
        ),
    ),
    _BASES["session-affinity-dead-pod"].in_mode(
        "nftables",
        fault=both(
            commands("worker-1", _sticks("10.244.1.100", ECHO_3)),
            commands("worker-1", _sticks("172.18.0.100", "10.244.1.11")),
            connected("client", ONCE),
            connected("shell", ONCE),
            killed("default/echo-3"),
        ),
    ),
    _BASES["stale-udp-conntrack"].in_mode(
        "nftables",
        fault=both(
            _KEEP,
            commands("worker-1", "nft flush chain ip kube-proxy nat-prerouting"),
            connected("shell", FIXED_PORT),
            synced(unchanged),
        ),
    ),
    _BASES["stale-tcp-sctp-conntrack"].in_mode(
        "nftables",
        fault=both(
            commands(
                "worker-1",
                f"nft insert rule ip kube-proxy nat-prerouting ip daddr {VIP} tcp sport 45000 "
                "dnat to 10.244.2.99:8080",
            ),
            commands("worker-2", "ip route add blackhole 10.244.2.99"),
            connected("shell", FIXED),
            synced(HERE_ONLY),
        ),
    ),
    _BASES["unserved-vip-routing-loop"].in_mode(
        "nftables",
        title="A port that an external address does not serve, and a router that sends it back",
        cluster="external-ip",
        node="kind-worker",
        traffic=(
            Traffic("client", Load("192.168.10.101", 8443, tcp=1, timeout_s=5), TIMEOUT, False),
        ),
        fault=commands(
            LAN,
            "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0",
            "ip route add 192.168.10.0/24 via 172.18.0.5",
        ),
    ),
)
IPTABLES: tuple[Scenario, ...] = (
    _BASES["conntrack-invalid-rst"].in_mode(
        "iptables",
        title="The same with kube-proxy's rules of before 1.15, which drop nothing as invalid",
        fault=both(
            synced(HERE_ONLY), without_rules("worker-1", "filter", "KUBE-FORWARD", "-j DROP")
        ),
    ),
    _BASES["nodeport-localhost"].in_mode(
        "iptables",
        title="A node port on ::1: no mode serves it there",
        traffic=(Traffic("worker-1", Load("::1", 30080, tcp=2), REFUSED, False),),
    ),
    _BASES["stale-rules-mode-switch"].in_mode(
        "iptables",
        title="iptables mode, and the table of nftables mode is still there",
        fault=also_in_mode("worker-1", "nftables", unchanged),
        recovery=commands(
            "worker-1", "nft delete table ip kube-proxy", "nft delete table ip6 kube-proxy"
        ),
    ),
)

MODE_SCENARIOS: tuple[Scenario, ...] = (*NFTABLES, *IPTABLES)
