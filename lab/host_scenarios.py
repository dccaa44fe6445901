"""Incidents of the node's own network, its filters, its bridges, and of left-over rules."""

from __future__ import annotations

from lab.cause_scenarios import (
    ASK_VIP,
    FINE,
    HERE_ONLY,
    NODE,
    TIMEOUT,
    UNREACHABLE,
    VIP,
)
from lab.faults import (
    also_in_mode,
    both,
    commands,
    connected,
    in_legacy_too,
    pods_on_a_bridge,
    synced,
)
from lab.objects import unchanged
from lab.scenario import Scenario, Traffic
from lab.topology import CLIENT, LAN, ROUTER_ADDRESSES
from lab.traffic import Load

POD = "10.244.1.11"
NOT_NODES = "! -s 10.244.0.0/16"
FIXED = Load(VIP, 80, tcp=1, timeout_s=0.5, source_port=45000)
ASK_ONCE = Load(VIP, 80, tcp=1, timeout_s=8)

HOST_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="foreign-firewall-order",
        title="A firewall's REJECT before kube-proxy's rules: host prohibited",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=2), UNREACHABLE, translated=False),),
        findings=("foreign-firewall-order",),
        fault=commands(
            "worker-1", "iptables -I FORWARD -j REJECT --reject-with icmp-host-prohibited"
        ),
        recovery=commands(
            "worker-1", "iptables -D FORWARD -j REJECT --reject-with icmp-host-prohibited"
        ),
        healed=FINE,
    ),
    Scenario(
        name="foreign-firewall-order-silent",
        title="A firewall's DROP before kube-proxy's rules: silence",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", ASK_VIP, TIMEOUT, translated=False),),
        findings=("foreign-firewall-order",),
        fault=commands("worker-1", "iptables -t raw -I PREROUTING -d 10.96.0.10 -j DROP"),
        recovery=commands("worker-1", "iptables -t raw -F PREROUTING"),
        healed=FINE,
    ),
    Scenario(
        name="over-masquerade-networkpolicy",
        title="A policy for pods only, and a client that another node masqueraded",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("client", Load("172.18.0.4", 30080, tcp=2, timeout_s=8), TIMEOUT, False),),
        findings=("over-masquerade-networkpolicy",),
        change=HERE_ONLY,
        fault=both(
            synced(HERE_ONLY),
            commands(
                "worker-1",
                "iptables -N KUBE-NWPLCY-7EIXXE6JSGR4QQ4F",
                f"iptables -A KUBE-NWPLCY-7EIXXE6JSGR4QQ4F {NOT_NODES} -j DROP",
                f"iptables -I FORWARD -d {POD} -j KUBE-NWPLCY-7EIXXE6JSGR4QQ4F",
            ),
        ),
        recovery=commands("worker-1", "iptables -F KUBE-NWPLCY-7EIXXE6JSGR4QQ4F"),
        healed=(Traffic("client", Load("172.18.0.4", 30080, tcp=3)),),
    ),
    Scenario(
        name="stale-tcp-sctp-conntrack",
        title="A TCP client with a fixed port whose mapping leads to a pod that is gone",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 80, tcp=3)),
            Traffic("shell", Load(VIP, 80, tcp=1, timeout_s=5, source_port=45000), TIMEOUT),
        ),
        findings=("stale-tcp-sctp-conntrack",),
        change=HERE_ONLY,
        fault=both(
            commands(
                "worker-1",
                "iptables -t nat -I PREROUTING -p tcp --sport 45000 -d 10.96.0.10 "
                "-j DNAT --to-destination 10.244.2.99:8080",
            ),
            commands("worker-2", "ip route add blackhole 10.244.2.99"),
            connected("shell", FIXED),
            commands("worker-1", "iptables -t nat -D PREROUTING 1"),
            synced(HERE_ONLY),
        ),
        recovery=commands("worker-1", "conntrack -D -p tcp --orig-port-src 45000"),
        healed=(Traffic("shell", Load(VIP, 80, tcp=1, source_port=45000)),),
    ),
    Scenario(
        name="bridge-nf-call-off",
        title="Pods on a bridge, answers past netfilter: the client hears the pod itself",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", ASK_VIP, TIMEOUT),),
        findings=("bridge-nf-call-off",),
        change=HERE_ONLY,
        fault=both(
            synced(HERE_ONLY),
            pods_on_a_bridge("worker-1"),
            commands("worker-1", "sysctl -q -w net.bridge.bridge-nf-call-iptables=0"),
        ),
        recovery=commands("worker-1", "sysctl -q -w net.bridge.bridge-nf-call-iptables=1"),
        healed=FINE,
    ),
    Scenario(
        name="bridge-hairpin-mode-off",
        title="Pods on a bridge without hairpin mode: a pod does not reach itself",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("echo-1", ASK_ONCE, TIMEOUT, translated=False, visible=True),),
        findings=("bridge-hairpin-mode-off",),
        change=HERE_ONLY,
        fault=both(
            synced(HERE_ONLY),
            pods_on_a_bridge("worker-1"),
        ),
        recovery=commands("worker-1", "bridge link set dev {echo-1} hairpin on"),
        healed=(Traffic("echo-1", Load(VIP, 80, tcp=3)),),
    ),
    Scenario(
        name="mtu-blackhole",
        title="A way too narrow for large packets, and ICMP that never arrives",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=1, timeout_s=8, payload=20_000), TIMEOUT),),
        findings=("mtu-blackhole",),
        change=HERE_ONLY,
        fault=both(
            synced(HERE_ONLY),
            commands("worker-1", "ip route change 10.244.1.11/32 dev {echo-1} mtu 1000"),
            commands("shell", "iptables -A INPUT -p icmp -j DROP"),
        ),
        recovery=commands("shell", "iptables -F INPUT"),
        healed=(Traffic("shell", Load(VIP, 80, tcp=1, payload=20_000)),),
    ),
    Scenario(
        name="clusterip-from-outside",
        title="A client that is no node asks a ClusterIP by way of its own router",
        cluster="default",
        mode="iptables",
        node=LAN,
        traffic=(Traffic(CLIENT, ASK_VIP, UNREACHABLE, translated=False),),
        findings=("clusterip-from-outside",),
        fault=both(
            commands(CLIENT, f"ip route replace 10.96.0.0/16 via {ROUTER_ADDRESSES[0]}"),
            commands(
                LAN,
                "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0",
                "ip link add up0 type bridge",
                "ip link set up0 up",
                "ip route add default dev up0",
            ),
        ),
        recovery=commands(CLIENT, f"ip route replace 10.96.0.0/16 via {NODE}"),
        healed=(Traffic(CLIENT, Load(VIP, 80, tcp=3)),),
    ),
    Scenario(
        name="cidr-overlap",
        title="An interface of the node in the range of Services",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=3)),),
        findings=("cidr-overlap",),
        fault=commands(
            "worker-1",
            "ip link add vpn0 type bridge",
            "ip link set vpn0 up",
            "ip addr add 10.96.200.1/16 dev vpn0",
        ),
        recovery=commands("worker-1", "ip link del vpn0"),
        healed=FINE,
    ),
    Scenario(
        name="iptables-backend-mix",
        title="kube-proxy's rules in iptables-nft and in iptables-legacy",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=3)),),
        findings=("iptables-backend-mix",),
        fault=in_legacy_too("worker-1"),
        recovery=commands("worker-1", "iptables-legacy -t nat -F", "iptables-legacy -F"),
        healed=FINE,
    ),
    Scenario(
        name="stale-rules-mode-switch",
        title="nftables mode, and the rules of iptables mode still lead to a pod that is gone",
        cluster="default",
        mode="nftables",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=6)),),
        findings=("stale-rules-mode-switch",),
        fault=also_in_mode("worker-1", "iptables", unchanged),
        recovery=commands("worker-1", "iptables -t nat -F", "iptables -F"),
        healed=FINE,
    ),
)
