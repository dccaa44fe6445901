"""Incidents of ipvs mode: addresses on kube-ipvs0, connections, servers, settings."""

from __future__ import annotations

from lab.cause_scenarios import FINE, HERE_ONLY, REFUSED, REMOTE_ONLY, TIMEOUT, VIP
from lab.faults import both, commands, killed, synced
from lab.objects import with_spec
from lab.scenario import Scenario, Traffic
from lab.topology import ROUTER_ADDRESSES
from lab.traffic import Load

GATEWAY = ROUTER_ADDRESSES[0]
RESET = frozenset({"reset"})
TAKEN = with_spec("default", "echo-external", externalIPs=[GATEWAY])
HEALTH = with_spec(
    "default", "echo-balancer", externalTrafficPolicy="Local", healthCheckNodePort=32000
)
ECHO_1 = "10.244.1.11:8080"
FIXED_PORT = Load(VIP, 80, tcp=1, timeout_s=4, source_port=45000)
"""Within the two minutes for which IPVS remembers a closed connection: to packets it is one."""
drained = both(
    killed("default/echo-1"),
    commands(
        "worker-1",
        f"ipvsadm -e -t {VIP}:80 -r {ECHO_1} -m -w 0",
        f"ipvsadm -a -t {VIP}:80 -r 10.244.2.12:8080 -m -w 1",
    ),
)

IPVS_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="ipvs-external-ip-blackhole-any-ip",
        title="A Service claims the nodes' gateway: all ports of it end on the node",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("shell", Load(GATEWAY, 443, tcp=2), REFUSED, translated=False),),
        findings=("ipvs-external-ip-blackhole-any-ip",),
        change=TAKEN,
        fault=synced(TAKEN),
        recovery=synced(lambda objects: objects),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-arp-flux",
        title="strictARP off: every node answers ARP for the load balancer's address",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=FINE,
        findings=("ipvs-arp-flux",),
        fault=commands(
            "worker-1",
            "sysctl -q -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0",
        ),
        recovery=commands(
            "worker-1",
            "sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
        ),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-filter-rejects-legit",
        title="kube-proxy's filter of ipvs mode without the exception for health checks",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("client", Load("172.18.0.210", 32000, tcp=1), REFUSED, False),),
        findings=("ipvs-filter-rejects-legit",),
        change=HEALTH,
        fault=both(
            synced(HEALTH),
            commands(
                "worker-1",
                "iptables -D KUBE-IPVS-FILTER -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst "
                "-j RETURN",
            ),
        ),
        recovery=commands(
            "worker-1",
            "iptables -I KUBE-IPVS-FILTER 1 -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst "
            "-j RETURN",
        ),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="vip-chosen-as-node-address",
        title="The node's own request keeps the Service's address as its source",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("worker-1", Load(VIP, 80, tcp=1, timeout_s=8), TIMEOUT, visible=False),),
        findings=("vip-chosen-as-node-address",),
        change=REMOTE_ONLY,
        fault=both(
            synced(REMOTE_ONLY),
            commands("worker-1", "iptables -t nat -F KUBE-MARK-MASQ"),
        ),
        recovery=synced(REMOTE_ONLY),
        healed=(Traffic("worker-1", Load(VIP, 80, tcp=3)),),
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-idle-timeout-rst",
        title="IPVS forgets a connection that is idle for longer than its timeout",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=2, timeout_s=8, idle_s=12), RESET),),
        findings=("ipvs-idle-timeout-rst",),
        fault=commands("worker-1", "ipvsadm --set 5 5 5"),
        recovery=commands("worker-1", "ipvsadm --set 7200 120 300"),
        healed=(Traffic("shell", Load(VIP, 80, tcp=1, timeout_s=8, idle_s=12)),),
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-weight-zero-after-restart",
        title="A ready endpoint whose real server was left with weight 0",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("shell", Load(VIP, 80, tcp=6)),),
        findings=("ipvs-weight-zero-after-restart",),
        fault=commands("worker-1", f"ipvsadm -e -t {VIP}:80 -r {ECHO_1} -m -w 0"),
        recovery=commands("worker-1", f"ipvsadm -e -t {VIP}:80 -r {ECHO_1} -m -w 1"),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-reuse-to-draining-server",
        title="A reused port keeps its client on a server that is being drained",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(
            Traffic("shell", FIXED_PORT, meanwhile=drained, after_s=3),
            Traffic("shell", FIXED_PORT, REFUSED),
        ),
        findings=("ipvs-reuse-to-draining-server",),
        change=REMOTE_ONLY,
        late_state=True,
        fault=both(
            synced(HERE_ONLY),
            commands(
                "worker-1",
                "sysctl -q -w net.ipv4.vs.conn_reuse_mode=0 net.ipv4.vs.expire_nodest_conn=0",
            ),
        ),
        recovery=commands(
            "worker-1",
            "sysctl -q -w net.ipv4.vs.conn_reuse_mode=1 net.ipv4.vs.expire_nodest_conn=1",
            f"ipvsadm -d -t {VIP}:80 -r {ECHO_1}",
        ),
        healed=(Traffic("shell", Load(VIP, 80, tcp=1, source_port=45000)),),
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-defense-or-ftp-special-case",
        title="IPVS's defence drop_packet is on",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(),
        findings=("ipvs-defense-or-ftp-special-case",),
        fault=commands("worker-1", "sysctl -q -w net.ipv4.vs.drop_packet=3"),
        recovery=commands("worker-1", "sysctl -q -w net.ipv4.vs.drop_packet=0"),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-foreign-virtual-server",
        title="A virtual server that no Service has",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=FINE,
        findings=("ipvs-foreign-virtual-server",),
        fault=commands(
            "worker-1",
            "ipvsadm -A -t 10.96.0.77:80 -s rr",
            f"ipvsadm -a -t 10.96.0.77:80 -r {ECHO_1} -m",
        ),
        recovery=commands("worker-1", "ipvsadm -D -t 10.96.0.77:80"),
        healed=FINE,
        kernel_only=True,
    ),
    Scenario(
        name="nodelocaldns-conflict",
        title="NodeLocal DNSCache's exception for a ClusterIP in ipvs mode",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(),
        findings=("nodelocaldns-conflict",),
        fault=commands(
            "worker-1", f"iptables -t raw -I PREROUTING -d {VIP} -p udp --dport 53 -j NOTRACK"
        ),
        recovery=commands("worker-1", "iptables -t raw -F PREROUTING"),
        healed=(Traffic("shell", Load(VIP, 53, udp=2)),),
        kernel_only=True,
    ),
    Scenario(
        name="hostport-intercepts-service",
        title="A host port's rule for local addresses takes the Services' connections",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("shell", Load("10.96.0.20", 80, tcp=3)),),
        findings=("hostport-intercepts-service",),
        translator="iptables",
        fault=commands(
            "worker-1",
            "iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 80 "
            f"-j DNAT --to-destination {ECHO_1}",
        ),
        recovery=commands("worker-1", "iptables -t nat -D PREROUTING 1"),
        healed=FINE,
        kernel_only=True,
    ),
)
