"""Random Services on this node: the rules that kube-proxy would write for them."""

from __future__ import annotations

import random

from lab.differential.universe import PORTS, PROTOCOLS, UNIVERSES, V4, V6
from lab.rules import iptables, nftables
from lab.rules.plan import node_plan, port_plans
from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint, Node, Service, ServicePort

HERE = "here"
NODE_PORTS = (30080, 8080)


def ruleset(chance: random.Random, mode: str, *, ipv6: bool) -> str:
    """Input for ``iptables-restore``, ``ip6tables-restore`` or ``nft -f``."""
    cluster = random_cluster(chance)
    plan, plans = node_plan(cluster, HERE, ipv6), port_plans(cluster, HERE, ipv6)
    return (iptables if mode == "iptables" else nftables).generate(plan, plans)


def random_cluster(chance: random.Random) -> Cluster:
    """One to three dual-stack Services of every kind, some without endpoints."""
    services = tuple(_service(chance, number) for number in range(chance.randint(1, 3)))
    endpoints = tuple(e for service in services for e in _endpoints(chance, service))
    addresses = tuple(parse(each.nodes[0]) for each in UNIVERSES.values())
    node = Node(HERE, addresses, (V4.cluster_cidr, V6.cluster_cidr))
    return Cluster(services=services, endpoints=endpoints, nodes=(node,))


def _service(chance: random.Random, number: int) -> Service:
    kind = chance.choice(("ClusterIP", "NodePort", "LoadBalancer"))
    node_port = NODE_PORTS[number % 2] if kind != "ClusterIP" and number < 2 else 0
    is_balanced = kind == "LoadBalancer" and number == 0
    balancers = _each(2) if is_balanced else ()
    outside = number == 1 and chance.random() < 0.3
    return Service(
        namespace="ns",
        name=f"svc{number}",
        type=kind,
        ports=(
            ServicePort("p", PROTOCOLS[chance.choice(("tcp", "udp"))], chance.choice(PORTS[:3]),
                        "8080", node_port),
        ),
        cluster_ips=(parse(f"10.96.0.{number + 1}"), parse(f"fd00:10:96::{number + 1}")),
        external_ips=tuple(parse(u.outside[2]) for u in UNIVERSES.values()) if outside else (),
        load_balancer_ips=balancers,
        external_policy=chance.choice(("Cluster", "Local")),
        internal_policy=chance.choice(("Cluster", "Cluster", "Local")),
        affinity_seconds=chance.choice((0, 0, 60)),
        source_ranges=(V4.source_range, V6.source_range)
        if balancers and chance.random() < 0.5
        else (),
    )  # fmt: skip


def _each(place: int) -> tuple[bytes, ...]:
    """The virtual address of that place in both families."""
    return tuple(parse(universe.virtual[place]) for universe in UNIVERSES.values())


def _endpoints(chance: random.Random, service: Service) -> list[Endpoint]:
    """The same pods in both families: here, beyond the uplink, and in the node's own network."""
    places = chance.sample(range(6), chance.choice((0, 1, 2, 3)))
    return [
        Endpoint(service.key, "p", service.ports[0].protocol, parse(ip), 8080,
                 "there" if ip in universe.outside else HERE)
        for universe in UNIVERSES.values()
        for ip in ((*universe.pods, *universe.outside[:2], universe.nodes[0])[n] for n in places)
    ]  # fmt: skip
