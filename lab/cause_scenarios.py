"""One incident for each further cause that namespaces, settings and rules can make."""

from __future__ import annotations

from lab.faults import (
    DEFAULT_ROUTE,
    both,
    commands,
    connected,
    mapped_before_the_rules,
    on_the_machine,
    route_back_by_a_pod,
    router_sends_back,
    synced,
    without_rules,
)
from lab.objects import all_of, with_source_ranges, with_target_port, without_pod
from lab.scenario import Scenario, Traffic
from lab.topology import CLIENT_ADDRESSES, KEEP_ENTRIES
from lab.traffic import Load

REFUSED, TIMEOUT = frozenset({"refused"}), frozenset({"timeout"})
UNREACHABLE = frozenset({"unreachable"})
VIP, NODE, SECOND = "10.96.0.10", "172.18.0.3", "172.18.0.33"
PATIENT_S = 8.0
"""Long enough that silence means something: three retransmissions."""

REMOTE_ONLY = without_pod("default", "echo-1")
ONE_REMOTE = all_of(REMOTE_ONLY, without_pod("default", "echo-2"))
HERE_ONLY = all_of(without_pod("default", "echo-2"), without_pod("default", "echo-3"))
WRONG_PORT = with_target_port("default", "echo", "web", 9999)
RANGES = with_source_ranges("default", "echo-balancer", "10.0.0.0/8")
FIXED_PORT = Load(VIP, 53, udp=1, timeout_s=0.3, source_port=5353)

ASK_VIP = Load(VIP, 80, tcp=2, timeout_s=PATIENT_S)
ASK_NODE_PORT = Load(NODE, 30080, tcp=2, timeout_s=PATIENT_S)
FINE = (Traffic("shell", Load(VIP, 80, tcp=3)),)
FINE_FROM_OUTSIDE = (Traffic("client", Load(NODE, 30080, tcp=3)),)

CAUSE_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="wrong-target-port",
        title="A targetPort that no pod listens on: every endpoint refuses",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=24), REFUSED),),
        findings=("wrong-target-port",),
        change=WRONG_PORT,
        fault=synced(WRONG_PORT),
        recovery=synced(lambda objects: objects),
        healed=FINE,
    ),
    Scenario(
        name="vip-port-not-served",
        title="A port that the Service does not have, nftables mode: refused",
        cluster="default",
        mode="nftables",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 8443, tcp=3), REFUSED, translated=False),),
        findings=("vip-port-not-served",),
    ),
    Scenario(
        name="vip-port-not-served-iptables",
        title="A port that the Service does not have, iptables mode: routed away",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 8443, tcp=1, timeout_s=PATIENT_S), TIMEOUT, False),
            Traffic("shell", Load(VIP, 80, tcp=3)),
        ),
        findings=("vip-port-not-served",),
    ),
    Scenario(
        name="unserved-vip-routing-loop",
        title="The same where the router sends the Services' range back to the node",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("client", Load(VIP, 8443, tcp=1, timeout_s=5), TIMEOUT, False),),
        findings=("unserved-vip-routing-loop",),
        fault=router_sends_back(NODE),
    ),
    Scenario(
        name="ip-forward-off",
        title="IP forwarding off: the node's pods reach nothing",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", ASK_VIP, TIMEOUT, translated=False),),
        findings=("ip-forward-off",),
        fault=commands("worker-1", "sysctl -q -w net.ipv4.ip_forward=0"),
        recovery=commands("worker-1", "sysctl -q -w net.ipv4.ip_forward=1"),
        healed=FINE,
    ),
    Scenario(
        name="forward-policy-drop",
        title="Policy DROP in the FORWARD chain, as Docker leaves it",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("client", Load(NODE, 30080, tcp=3)),
            Traffic("shell", ASK_VIP, TIMEOUT, translated=False),
        ),
        findings=("forward-policy-drop",),
        fault=commands("worker-1", "iptables -P FORWARD DROP"),
        recovery=commands("worker-1", "iptables -P FORWARD ACCEPT"),
        healed=FINE,
    ),
    Scenario(
        name="lb-source-ranges-drop",
        title="A client outside loadBalancerSourceRanges",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("client", Load(NODE, 30080, tcp=3)),
            Traffic("client", Load("172.18.0.210", 80, tcp=2, timeout_s=8), TIMEOUT, False),
        ),
        findings=("lb-source-ranges-drop",),
        change=RANGES,
        fault=synced(RANGES),
        recovery=synced(
            with_source_ranges(
                "default", "echo-balancer", "10.0.0.0/8", f"{CLIENT_ADDRESSES[0]}/32"
            ),
        ),
        healed=(Traffic("client", Load("172.18.0.210", 80, tcp=3)),),
    ),
    Scenario(
        name="nodeport-localhost",
        title="A node port on 127.0.0.1 in nftables mode: nothing serves it there",
        cluster="default",
        mode="nftables",
        node="worker-1",
        traffic=(Traffic("worker-1", Load("127.0.0.1", 30080, tcp=2), REFUSED, False),),
        findings=("nodeport-localhost",),
        healed=(Traffic("worker-1", Load(NODE, 30080, tcp=3)),),
    ),
    Scenario(
        name="nodeport-address-not-selected",
        title="A node port on the node's second address in nftables mode: refused",
        cluster="default",
        mode="nftables",
        node="worker-1",
        traffic=(Traffic("client", Load(SECOND, 30080, tcp=2), REFUSED, False),),
        findings=("nodeport-address-not-selected",),
        fault=commands("worker-1", f"ip addr add {SECOND}/16 dev eth0"),
        healed=FINE_FROM_OUTSIDE,
    ),
    Scenario(
        name="hairpin-no-masquerade",
        title="A pod that is its own Service's only endpoint, without the rule for that",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("echo-1", ASK_VIP, TIMEOUT),),
        findings=("hairpin-no-masquerade",),
        change=HERE_ONLY,
        fault=both(
            synced(HERE_ONLY),
            without_rules("worker-1", "nat", "KUBE-SEP-", "-j KUBE-MARK-MASQ"),
        ),
        recovery=synced(HERE_ONLY),
        healed=(Traffic("echo-1", Load(VIP, 80, tcp=3)),),
    ),
    Scenario(
        name="masquerade-missing",
        title="KUBE-POSTROUTING without its MASQUERADE: remote pods answer clients directly",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("client", ASK_NODE_PORT, TIMEOUT),),
        findings=("masquerade-missing",),
        change=REMOTE_ONLY,
        fault=both(
            synced(REMOTE_ONLY),
            without_rules("worker-1", "nat", "KUBE-POSTROUTING", "--random-fully"),
        ),
        recovery=synced(REMOTE_ONLY),
        healed=FINE_FROM_OUTSIDE,
    ),
    Scenario(
        name="no-default-route",
        title="A node without a default route: its own processes cannot use ClusterIPs",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("worker-1", Load(VIP, 80, tcp=2), UNREACHABLE, translated=False),
            Traffic("shell", Load(VIP, 80, tcp=6)),
        ),
        findings=("no-default-route",),
        fault=commands("worker-1", "ip route del default"),
        recovery=commands("worker-1", DEFAULT_ROUTE),
        healed=(Traffic("worker-1", Load(VIP, 80, tcp=3)),),
    ),
    Scenario(
        name="endpoint-unreachable-underlay",
        title="The endpoints' node is off the network: its address does not resolve",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", ASK_VIP, UNREACHABLE, visible=False),),
        findings=("endpoint-unreachable-underlay",),
        change=REMOTE_ONLY,
        fault=both(
            synced(REMOTE_ONLY),
            commands("worker-2", "ip link set eth0 down"),
            commands("worker-1", "ip neigh flush all"),
        ),
    ),
    Scenario(
        name="stale-udp-conntrack",
        title="A UDP client whose mapping is older than the Service's rules",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 53, udp=3)),
            Traffic("shell", Load(VIP, 53, udp=3, timeout_s=2, source_port=5353), TIMEOUT, False),
        ),
        findings=("stale-udp-conntrack",),
        fault=both(
            commands("worker-1", "sysctl -q -w " + " ".join(KEEP_ENTRIES)),
            mapped_before_the_rules("shell", "worker-1", FIXED_PORT),
        ),
        recovery=commands("worker-1", f"conntrack -D -p udp --orig-dst {VIP} --orig-port-dst 53"),
        healed=(Traffic("shell", Load(VIP, 53, udp=1, source_port=5353)),),
    ),
    Scenario(
        name="rp-filter-drop",
        title="Strict rp_filter, and a route back by another interface",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("client", ASK_NODE_PORT, TIMEOUT, translated=False),),
        findings=("rp-filter-drop",),
        fault=route_back_by_a_pod("worker-1", CLIENT_ADDRESSES[0]),
        kernel_only=True,
    ),
    Scenario(
        name="conntrack-table-full",
        title="A table of connections with room for one",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", ASK_VIP, TIMEOUT, translated=False),),
        findings=("conntrack-table-full",),
        fault=both(
            commands("worker-1", "sysctl -q -w " + " ".join(KEEP_ENTRIES)),
            connected("shell", Load(VIP, 80, tcp=1)),
            on_the_machine("sysctl -q -w net.netfilter.nf_conntrack_max=1"),
        ),
        remembered=1,
        recovery=on_the_machine("sysctl -q -w net.netfilter.nf_conntrack_max=65536"),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="snat-port-exhaustion",
        title="Masquerading with two source ports, and a third connection",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("client", Load(NODE, 30080, tcp=2)),
            Traffic("client", Load(NODE, 30080, tcp=1, timeout_s=PATIENT_S), TIMEOUT, False),
        ),
        findings=("snat-port-exhaustion",),
        change=ONE_REMOTE,
        fault=both(
            synced(ONE_REMOTE),
            commands(
                "worker-1",
                "iptables -t nat -I KUBE-POSTROUTING -p tcp -m mark --mark 0x4000/0x4000 "
                "-j MASQUERADE --to-ports 40000-40001",
                "sysctl -q -w " + " ".join(KEEP_ENTRIES),
            ),
        ),
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-conntrack-off",
        title="ipvs mode without conntrack: remote pods answer outside clients directly",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("client", ASK_NODE_PORT, TIMEOUT),),
        findings=("ipvs-conntrack-off",),
        change=REMOTE_ONLY,
        fault=both(
            synced(REMOTE_ONLY),
            commands("worker-1", "sysctl -q -w net.ipv4.vs.conntrack=0"),
        ),
        recovery=commands("worker-1", "sysctl -q -w net.ipv4.vs.conntrack=1"),
        healed=FINE_FROM_OUTSIDE,
        kernel_only=True,
    ),
)
