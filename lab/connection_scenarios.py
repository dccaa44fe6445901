"""Incidents of single connections and clients: what is remembered, and what no rule explains."""

from __future__ import annotations

from lab.cause_scenarios import (
    ASK_VIP,
    FINE,
    HERE_ONLY,
    NODE,
    ONE_REMOTE,
    REFUSED,
    TIMEOUT,
    VIP,
)
from lab.faults import (
    answered_outside,
    both,
    commands,
    introduce,
    killed,
    pinged,
    pinned,
    synced,
)
from lab.objects import without_pod
from lab.policy_scenarios import BALANCER
from lab.scenario import Scenario, Traffic
from lab.topology import CLIENT_ADDRESSES
from lab.traffic import Load

STICKY = "10.96.0.24"
RESET = frozenset({"reset"})
ONCE = Load(STICKY, 80, tcp=1)
ECHO_3 = "10.244.2.13"
SPOOFED = Load(NODE, 30080, tcp=2, timeout_s=8)
ASKS_THRICE = Load(VIP, 80, tcp=1, again=3, idle_s=2, timeout_s=8)

CONNECTION_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="session-affinity-dead-pod",
        title="ClientIP affinity keeps one client on a pod that is gone",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(STICKY, 80, tcp=4), REFUSED),
            Traffic("client", Load(STICKY, 80, tcp=3)),
        ),
        findings=("session-affinity-dead-pod",),
        change=without_pod("default", "echo-3"),
        fault=both(
            pinned("shell", ONCE, "echo-3", "worker-1"),
            pinned("client", ONCE, "echo-1", "worker-1"),
            killed("default/echo-3"),
        ),
        remembered=2,
        recovery=synced(without_pod("default", "echo-3")),
        healed=(Traffic("shell", Load(STICKY, 80, tcp=3)),),
    ),
    Scenario(
        name="conntrack-invalid-rst",
        title="A pod answers outside the window: the client resets a stranger, and its connection",
        cluster="default",
        mode="nftables",
        node="worker-1",
        traffic=(
            Traffic("shell", ASKS_THRICE, RESET, meanwhile=answered_outside("echo-1", 8080, 2)),
        ),
        findings=("conntrack-invalid-rst",),
        change=HERE_ONLY,
        fault=synced(HERE_ONLY),
        recovery=commands("worker-1", "sysctl -q -w net.netfilter.nf_conntrack_tcp_be_liberal=1"),
        healed=(
            Traffic(
                "shell",
                ASKS_THRICE,
                meanwhile=answered_outside("echo-1", 8080, 2),
            ),
        ),
    ),
    Scenario(
        name="conntrack-invalid-drop",
        title="Answers that pass a node their requests did not: dropped as INVALID",
        cluster="default",
        mode="iptables",
        node="worker-2",
        traffic=(
            Traffic(
                "client", Load("10.244.1.11", 8080, tcp=2, timeout_s=8), TIMEOUT, translated=False
            ),
        ),
        findings=("conntrack-invalid-drop",),
        fault=both(
            commands("worker-1", f"ip route add {CLIENT_ADDRESSES[0]}/32 via 172.18.0.4"),
            commands("worker-1", "sysctl -q -w net.ipv4.conf.all.accept_redirects=0"),
        ),
        recovery=commands("worker-2", "sysctl -q -w net.netfilter.nf_conntrack_tcp_be_liberal=1"),
        kernel_only=True,
    ),
    Scenario(
        name="ping-vip",
        title="A ping to a ClusterIP: nobody answers, and the Service is well",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 80, tcp=4, pause_s=2), meanwhile=pinged("shell", VIP)),
        ),
        findings=("ping-vip",),
    ),
    Scenario(
        name="lb-ip-short-circuit",
        title="Pods that reset what comes past the load balancer, and a pod that asks its address",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load(BALANCER, 80, tcp=5, line=b"bye\n"), RESET),),
        findings=("lb-ip-short-circuit",),
    ),
    Scenario(
        name="unanswered-unexplained",
        title="Something between the nodes throws packets away, out of this node's sight",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 53, udp=3)),
            Traffic("shell", ASK_VIP, TIMEOUT),
        ),
        findings=("unanswered-unexplained",),
        change=ONE_REMOTE,
        fault=both(
            synced(ONE_REMOTE),
            commands("worker-2", f"iptables -t raw -I PREROUTING -p tcp -d {ECHO_3} -j DROP"),
        ),
        recovery=commands("worker-2", "iptables -t raw -F PREROUTING"),
        healed=FINE,
    ),
    Scenario(
        name="dropped-unexplained",
        title="A filter of traffic control that no rule of viptrace knows",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", ASK_VIP, TIMEOUT, visible=False),),
        findings=("dropped-unexplained",),
        change=ONE_REMOTE,
        fault=both(
            synced(ONE_REMOTE),
            commands(
                "worker-1",
                "tc qdisc add dev eth0 clsact",
                f"tc filter add dev eth0 egress protocol ip flower dst_ip {ECHO_3} action drop",
            ),
        ),
        recovery=commands("worker-1", "tc qdisc del dev eth0 clsact"),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="local-vip-is-packet-source",
        title="A load balancer that probes from the address that every node holds itself",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("client", SPOOFED, TIMEOUT, translated=False),),
        findings=("local-vip-is-packet-source",),
        fault=both(
            commands(
                "client",
                f"ip addr add {BALANCER}/32 dev eth0",
                f"ip route add {NODE}/32 dev eth0 src {BALANCER}",
            ),
            lambda topology: introduce(topology, "worker-1"),
        ),
        recovery=commands("client", f"ip route del {NODE}/32"),
        healed=(Traffic("client", Load(NODE, 30080, tcp=3)),),
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-nodest-silent-drop",
        title="A real server is removed, and its open connections hang",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(
            Traffic(
                "shell",
                Load(VIP, 80, tcp=1, idle_s=20, timeout_s=8),
                TIMEOUT,
                meanwhile=commands(
                    "worker-1",
                    f"ipvsadm -a -t {VIP}:80 -r 10.244.1.11:8080 -m",
                    f"ipvsadm -d -t {VIP}:80 -r {ECHO_3}:8080",
                ),
                after_s=3,
            ),
        ),
        findings=("ipvs-nodest-silent-drop",),
        change=HERE_ONLY,
        late_state=True,
        fault=both(
            synced(ONE_REMOTE),
            commands("worker-1", "sysctl -q -w net.ipv4.vs.expire_nodest_conn=0"),
        ),
        kernel_only=True,
    ),
)
