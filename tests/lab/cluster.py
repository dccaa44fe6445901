"""Six Services that between them need every kind of rule, written as model values."""

from __future__ import annotations

from dataclasses import replace

from lab.rules.plan import NodePlan, PortPlan, port_plans
from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint, Node, Service, ServicePort

NODE = "node-a"
HERE = NodePlan(NODE, False, ("192.168.0.2",), ("10.0.0.0/8",))


def service(number: int, kind: str = "ClusterIP", node_port: int = 0, **more: object) -> Service:
    made = Service(
        namespace=f"ns{number}",
        name=f"svc{number}",
        type=kind,
        ports=(ServicePort("p80", 6, 80, "80", node_port),),
        cluster_ips=(parse(f"172.30.0.4{number}"),),
    )
    return replace(made, **more)


def endpoint(number: int, ip: str, node: str = NODE) -> Endpoint:
    return Endpoint(f"ns{number}/svc{number}", "p80", 6, parse(ip), 80, node)


SIX = Cluster(
    services=(
        service(1),
        service(
            2,
            "LoadBalancer",
            3001,
            external_ips=(parse("192.168.99.22"),),
            load_balancer_ips=(parse("1.2.3.4"),),
            external_policy="Local",
            health_check_node_port=30000,
        ),
        service(3, "NodePort", 3003),
        service(4, external_ips=(parse("192.168.99.33"),)),
        service(
            5,
            "LoadBalancer",
            3002,
            load_balancer_ips=(parse("5.6.7.8"),),
            source_ranges=("203.0.113.0/25",),
            affinity_seconds=10800,
        ),
        service(6),
    ),
    endpoints=(
        endpoint(1, "10.180.0.1"),
        endpoint(2, "10.180.0.2", "elsewhere"),
        endpoint(3, "10.180.0.3"),
        endpoint(4, "10.180.0.4"),
        endpoint(4, "10.180.0.5"),
        endpoint(5, "10.180.0.3"),
    ),
    nodes=(Node(NODE, (parse("192.168.0.2"),)),),
)


def plans(cluster: Cluster = SIX) -> list[PortPlan]:
    return port_plans(cluster, NODE, ipv6=False)
