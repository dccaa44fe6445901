"""Incidents of Services' own fields: external addresses, policies, zones, families, DNS."""

from __future__ import annotations

from typing import Any

from lab.cause_scenarios import FINE, NODE, RANGES, REFUSED, REMOTE_ONLY, TIMEOUT, VIP
from lab.faults import both, commands, named_otherwise, synced
from lab.objects import (
    all_of,
    and_objects,
    renamed_node,
    terminating,
    with_source_ranges,
    with_spec,
    with_zones,
    without_slices,
)
from lab.scenario import Scenario, Traffic
from lab.traffic import Load

BALANCER = "172.18.0.210"
PUBLIC = "8.8.8.8"
HIJACK = with_spec("default", "echo-external", externalIPs=[PUBLIC])
LOCAL = with_spec("default", "echo-balancer", externalTrafficPolicy="Local")
LOCAL_ELSEWHERE = all_of(LOCAL, REMOTE_ONLY)
LEAVING = terminating("default", "echo-local", "echo-1")
ONLY_V4 = without_slices("default", "echo", "IPv6")
KUBE_DNS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "kube-dns", "namespace": "kube-system"},
    "spec": {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.53",
        "clusterIPs": ["10.96.0.53"],
        "selector": {"k8s-app": "kube-dns"},
        "ports": [{"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": 53}],
    },
}
WITH_DNS = and_objects(KUBE_DNS)
ZONES = with_zones("default", "echo", "zone-of-the-past", worker_1="a", worker_2="b")

POLICY_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="external-ip-hijack",
        title="A Service claims a public address: pods that ask it get the Service's pods",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("shell", Load(PUBLIC, 80, tcp=3)),),
        findings=("external-ip-hijack",),
        change=HIJACK,
        fault=synced(HIJACK),
        recovery=synced(lambda objects: objects),
        healed=FINE,
    ),
    Scenario(
        name="etp-local-nodename-mismatch",
        title="kube-proxy under another name: its own endpoints look remote",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("client", Load(NODE, 30081, tcp=2, timeout_s=8), TIMEOUT, False),),
        findings=("etp-local-nodename-mismatch",),
        fault=named_otherwise(
            "worker-1", "worker-1.example", renamed_node("worker-1", "worker-1.example")
        ),
        recovery=synced(lambda objects: objects),
        healed=(Traffic("client", Load(NODE, 30081, tcp=3)),),
    ),
    Scenario(
        name="etp-local-rollout-gap",
        title="Policy Local, and the node's only endpoint is going",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(Traffic("client", Load(NODE, 30081, tcp=2, timeout_s=8), TIMEOUT, False),),
        findings=("etp-local-rollout-gap",),
        change=LEAVING,
        fault=synced(LEAVING),
        recovery=synced(lambda objects: objects),
        healed=(Traffic("client", Load(NODE, 30081, tcp=3)),),
    ),
    Scenario(
        name="lb-source-ranges-node",
        title="The node itself outside loadBalancerSourceRanges",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 80, tcp=3)),
            Traffic("worker-1", Load(BALANCER, 80, tcp=2, timeout_s=8), TIMEOUT, False),
        ),
        findings=("lb-source-ranges-node",),
        change=RANGES,
        fault=synced(RANGES),
        recovery=synced(
            with_source_ranges("default", "echo-balancer", "10.0.0.0/8", f"{NODE}/32"),
        ),
        healed=(Traffic("worker-1", Load(BALANCER, 80, tcp=3)),),
        kernel_only=True,
    ),
    Scenario(
        name="nft-etp-local-pod-drop",
        title="nftables mode without a cluster range: a pod is taken for an outside client",
        cluster="default",
        mode="nftables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 80, tcp=3)),
            Traffic("shell", Load(BALANCER, 80, tcp=2, timeout_s=8), TIMEOUT, False),
        ),
        findings=("nft-etp-local-pod-drop",),
        change=LOCAL_ELSEWHERE,
        fault=both(
            synced(LOCAL_ELSEWHERE),
            commands(
                "worker-1",
                f"nft delete element ip kube-proxy service-ips {{ {BALANCER} . tcp . 80 }}",
            ),
        ),
        recovery=synced(LOCAL_ELSEWHERE),
        healed=(Traffic("shell", Load(BALANCER, 80, tcp=3)),),
    ),
    Scenario(
        name="ip-family-mismatch",
        title="A dual-stack Service with IPv4 endpoints only: refused over IPv6",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 80, tcp=3)),
            Traffic("shell", Load("fd00:10:96::a", 80, tcp=2), REFUSED, False),
        ),
        findings=("ip-family-mismatch",),
        change=ONLY_V4,
        fault=synced(ONLY_V4),
        recovery=synced(lambda objects: objects),
        healed=(Traffic("shell", Load("fd00:10:96::a", 80, tcp=3)),),
    ),
    Scenario(
        name="discovery-not-datapath",
        title="The DNS Service has no endpoint",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic("shell", Load("10.96.0.53", 53, tcp=2), REFUSED, False),
            Traffic("shell", Load(VIP, 80, tcp=3)),
        ),
        findings=("discovery-not-datapath", "svc-no-endpoints"),
        change=WITH_DNS,
        fault=synced(WITH_DNS),
    ),
    Scenario(
        name="topology-hints-mismatch",
        title="Endpoints kept for a zone that no node is in",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=FINE,
        findings=("topology-hints-mismatch",),
        change=ZONES,
    ),
)
