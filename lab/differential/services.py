"""Random Services on this node: the rules that kube-proxy would write for them."""

from __future__ import annotations

import random

from lab.differential.universe import (
    NODE_ADDRESSES,
    OUTSIDE,
    POD_ADDRESSES,
    PORTS,
    PROTOCOLS,
    VIRTUAL,
)
from lab.rules import iptables, nftables
from lab.rules.plan import node_plan, port_plans
from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint, Node, Service, ServicePort

HERE = "here"
NODE_PORTS = (30080, 8080)
_REMOTE_PODS = OUTSIDE[:2]
"""Endpoints beyond the uplink."""


def ruleset(chance: random.Random, mode: str) -> str:
    """Input for ``iptables-restore`` or ``nft -f``."""
    cluster = random_cluster(chance)
    plan, plans = node_plan(cluster, HERE, False), port_plans(cluster, HERE, False)
    return (iptables if mode == "iptables" else nftables).generate(plan, plans)


def random_cluster(chance: random.Random) -> Cluster:
    """One to three Services of every kind, some without endpoints."""
    services = tuple(_service(chance, number) for number in range(chance.randint(1, 3)))
    endpoints = tuple(e for service in services for e in _endpoints(chance, service))
    node = Node(HERE, (parse(NODE_ADDRESSES[0]),), ("10.244.0.0/16",))
    return Cluster(services=services, endpoints=endpoints, nodes=(node,))


def _service(chance: random.Random, number: int) -> Service:
    kind = chance.choice(("ClusterIP", "NodePort", "LoadBalancer"))
    node_port = NODE_PORTS[number % 2] if kind != "ClusterIP" and number < 2 else 0
    balancers = (parse(VIRTUAL[2]),) if kind == "LoadBalancer" and number == 0 else ()
    return Service(
        namespace="ns",
        name=f"svc{number}",
        type=kind,
        ports=(
            ServicePort("p", PROTOCOLS[chance.choice(("tcp", "udp"))], chance.choice(PORTS[:3]),
                        "8080", node_port),
        ),
        cluster_ips=(parse(f"10.96.0.{number + 1}"),),
        external_ips=(parse("203.0.113.7"),) if number == 1 and chance.random() < 0.3 else (),
        load_balancer_ips=balancers,
        external_policy=chance.choice(("Cluster", "Local")),
        internal_policy=chance.choice(("Cluster", "Cluster", "Local")),
        affinity_seconds=chance.choice((0, 0, 60)),
        source_ranges=("203.0.113.0/25",) if balancers and chance.random() < 0.5 else (),
    )  # fmt: skip


def _endpoints(chance: random.Random, service: Service) -> list[Endpoint]:
    pods = chance.sample((*POD_ADDRESSES, *_REMOTE_PODS), chance.choice((0, 1, 2, 3)))
    return [
        Endpoint(service.key, "p", service.ports[0].protocol, parse(ip), 8080,
                 HERE if ip in POD_ADDRESSES else "there")
        for ip in pods
    ]  # fmt: skip
