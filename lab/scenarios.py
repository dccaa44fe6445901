"""Every incident the lab can make, in the order of the user's documents, then by cause."""

from __future__ import annotations

from pathlib import Path

from lab.cause_scenarios import CAUSE_SCENARIOS
from lab.connection_scenarios import CONNECTION_SCENARIOS
from lab.faults import synced
from lab.healthy_scenarios import HEALTHY_SCENARIOS
from lab.host_scenarios import HOST_SCENARIOS
from lab.ipvs_scenarios import IPVS_SCENARIOS
from lab.mode_scenarios import in_other_modes
from lab.objects import with_spec, without_pod
from lab.policy_scenarios import POLICY_SCENARIOS
from lab.scenario import Scenario, Traffic
from lab.service_scenarios import SERVICE_SCENARIOS
from lab.topology import Topology
from lab.traffic import Load
from lab.tutorial_scenarios import TUTORIAL_SCENARIOS
from tracer.errors import InputError

IPVS = Path("/proc/net/ip_vs")
MASTERS = ("172.18.0.11", "172.18.0.12", "172.18.0.13")
EVERYWHERE = {"externalTrafficPolicy": "Cluster"}
REFUSED = frozenset({"refused"})
TIMEOUT = frozenset({"timeout"})
SOME_REFUSED = Load("10.96.0.10", 80, tcp=24)
"""Enough that the dead third is hit: a chance of 1 in 16,000 that it is not."""

PATIENT = Load("172.18.0.2", 30081, tcp=2, timeout_s=8)
"""Long enough that silence means something: three retransmissions."""
PEERS_TALK = tuple(Traffic("master-1", Load(ip, 2380, tcp=1)) for ip in MASTERS[1:])
"""etcd on one control-plane node reaches its peers."""


def remove_external_ips(topology: Topology) -> None:
    """The documents' recovery with kube-proxy stopped: the addresses off, on every node."""
    topology.proxies.stop()
    for node in topology.cluster.nodes:
        for ip in MASTERS:
            topology.run(
                node.name, "ip", "addr", "del", f"{ip}/32", "dev", "kube-ipvs0", check=False
            )
        topology.run(node.name, "ip", "neigh", "flush", "all")


def stop_echo_3(topology: Topology) -> None:
    """The pod's process exits; nothing else knows yet."""
    topology.stop_server("default/echo-3")


_OF_ONE_MODE: tuple[Scenario, ...] = (
    Scenario(
        name="external-ip-hidden-port",
        title="Node addresses as externalIPs in iptables mode: port 6444 served, nobody listens",
        cluster="port-forward",
        mode="iptables",
        node="master-1",
        traffic=(Traffic("client", Load(MASTERS[0], 6444, tcp=9)),),
    ),
    Scenario(
        name="ipvs-external-ip-is-node-ip",
        title="The same Service in ipvs mode: the control plane's nodes swallow their peers",
        cluster="port-forward",
        mode="ipvs",
        node="master-1",
        traffic=(
            Traffic("master-1", Load(MASTERS[1], 2380, tcp=3), REFUSED, translated=False),
            Traffic("master-1", Load(MASTERS[2], 2380, tcp=3), REFUSED, translated=False),
        ),
        findings=("ipvs-external-ip-is-node-ip",),
        before=PEERS_TALK,
        recovery=remove_external_ips,
        healed=PEERS_TALK,
        kernel_only=True,
    ),
    Scenario(
        name="cluster-ip-keeps-source",
        title="A pod's address reaches the backend through a ClusterIP: destination NAT only",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load("10.96.0.10", 80, tcp=9, udp=6, udp_port=53)),
            Traffic("shell", Load("fd00:10:96::a", 80, tcp=6, udp=3, udp_port=53)),
        ),
    ),
    Scenario(
        name="node-port-rewrites-source",
        title="A NodePort: both addresses are rewritten and the reply returns through the node",
        cluster="node-port",
        mode="nftables",
        node="kind-worker",
        traffic=(Traffic("client", Load("172.18.0.5", 31500, tcp=9)),),
    ),
    Scenario(
        name="no-local-endpoint-drop",
        title="externalTrafficPolicy Local: a node without a backend drops, by policy",
        cluster="default",
        mode="iptables",
        node="control-plane",
        traffic=(Traffic("client", Load("172.18.0.2", 30081, tcp=2), TIMEOUT, translated=False),),
        findings=("no-local-endpoint-drop",),
        recovery=synced(with_spec("default", "echo-local", **EVERYWHERE)),
        healed=(Traffic("client", Load("172.18.0.2", 30081, tcp=3)),),
    ),
    Scenario(
        name="node-port-chain-walk",
        title="NodePort in iptables mode: KUBE-NODEPORTS, -EXT, -SVC, one of three -SEP",
        cluster="node-port",
        mode="iptables",
        node="kind-worker",
        traffic=(Traffic("client", Load("172.18.0.5", 31500, tcp=12)),),
    ),
    Scenario(
        name="external-ip-iptables",
        title="externalIPs that no node owns, iptables mode",
        cluster="external-ip",
        mode="iptables",
        node="kind-worker",
        traffic=(Traffic("client", Load("192.168.10.101", 9000, tcp=9)),),
    ),
    Scenario(
        name="kube-ipvs0",
        title="The same in ipvs mode: every Service address on kube-ipvs0, one virtual server each",
        cluster="external-ip",
        mode="ipvs",
        node="kind-worker",
        traffic=(
            Traffic("client", Load("192.168.10.101", 9000, tcp=6)),
            Traffic("net-pod", Load("10.200.1.121", 9000, tcp=6)),
        ),
        kernel_only=True,
    ),
    Scenario(
        name="ipvs-round-robin",
        title="ipvs mode: connections in turn over three pods, counted by ipvsadm",
        cluster="external-ip",
        mode="ipvs",
        node="kind-worker",
        traffic=(Traffic("client", Load("192.168.10.102", 9000, tcp=30)),),
        kernel_only=True,
    ),
    Scenario(
        name="svc-no-endpoints",
        title="A Service without endpoints, ipvs mode: the kernel itself refuses",
        cluster="default",
        mode="ipvs",
        node="worker-1",
        traffic=(Traffic("shell", Load("10.96.0.30", 80, tcp=3), REFUSED, translated=False),),
        findings=("svc-no-endpoints",),
        kernel_only=True,
    ),
    Scenario(
        name="svc-no-endpoints-iptables",
        title="A Service without endpoints, iptables mode: a REJECT rule",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load("10.96.0.30", 80, tcp=3), REFUSED, translated=False),),
        findings=("svc-no-endpoints",),
    ),
    Scenario(
        name="svc-no-endpoints-nftables",
        title="A Service without endpoints, nftables mode: reject-chain",
        cluster="default",
        mode="nftables",
        node="worker-1",
        traffic=(Traffic("shell", Load("fd00:10:96::1e", 80, tcp=3), REFUSED, translated=False),),
        findings=("svc-no-endpoints",),
    ),
    Scenario(
        name="etp-local-ipvs-wrong-source",
        title="externalTrafficPolicy Local in ipvs mode, no backend here: the pod answers itself",
        cluster="default",
        mode="ipvs",
        node="control-plane",
        traffic=(Traffic("client", PATIENT, TIMEOUT),),
        findings=("etp-local-ipvs-wrong-source",),
        kernel_only=True,
    ),
    Scenario(
        name="endpoint-removal-lag",
        title="A deleted pod that the rules still choose: one connection in three is refused",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", SOME_REFUSED, REFUSED),),
        findings=("endpoint-removal-lag",),
        change=without_pod("default", "echo-3"),
        fault=stop_echo_3,
    ),
    Scenario(
        name="refused-by-backend",
        title="A pod whose process is gone but whose endpoint is ready: it refuses by itself",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", SOME_REFUSED, REFUSED),),
        findings=("refused-by-backend",),
        fault=stop_echo_3,
    ),
    *TUTORIAL_SCENARIOS,
    *CAUSE_SCENARIOS,
    *POLICY_SCENARIOS,
    *HOST_SCENARIOS,
    *IPVS_SCENARIOS,
    *CONNECTION_SCENARIOS,
    *SERVICE_SCENARIOS,
    *HEALTHY_SCENARIOS,
)
SCENARIOS: tuple[Scenario, ...] = (*_OF_ONE_MODE, *in_other_modes(_OF_ONE_MODE))

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def chosen(names: tuple[str, ...]) -> list[Scenario]:
    """Scenarios by name; ``all``: what this kernel can run, ``vm``: what needs the VM's."""
    if names == ("vm",):
        return [item for item in SCENARIOS if item.kernel_only]
    if names == ("all",):
        rest = left_out(names)
        return [item for item in SCENARIOS if item not in rest]
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise InputError(f"no scenario {', '.join(unknown)}", "", "see: python -m lab scenarios")
    return [BY_NAME[name] for name in names]


def left_out(names: tuple[str, ...]) -> list[Scenario]:
    """Those of ``all`` that this kernel cannot run: they need the VM's."""
    if names != ("all",) or IPVS.exists():
        return []
    return [item for item in SCENARIOS if item.kernel_only]
