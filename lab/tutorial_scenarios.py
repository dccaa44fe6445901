"""The tutorials' healthy cases: DNS, a Service of two ports, a load balancer that keeps sources."""

from __future__ import annotations

from lab.health import answers_health
from lab.scenario import Scenario, Traffic
from lab.traffic import Load

NODE, DNS, NGINX, BALANCER = "172.18.0.3", "10.96.0.10", "10.96.162.149", "203.0.113.140"

TUTORIAL_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="dns-lookup",
        title="A pod asks the cluster's DNS: translated datagrams, and TCP for long answers",
        cluster="tutorial",
        mode="iptables",
        node="node-1",
        traffic=(
            Traffic("curl", Load(DNS, 53, udp=7)),
            Traffic("curl", Load(DNS, 53, tcp=2)),
        ),
    ),
    Scenario(
        name="service-two-ports",
        title="A Service of two ports, http and https, by its ClusterIP and by its node ports",
        cluster="tutorial",
        mode="nftables",
        node="node-1",
        traffic=(
            Traffic("client", Load(NODE, 31704, tcp=3)),
            Traffic("client", Load(NODE, 32453, tcp=4)),
            Traffic("curl", Load(NGINX, 8080, tcp=2)),
            Traffic("curl", Load(NGINX, 443, tcp=4)),
        ),
    ),
    Scenario(
        name="load-balancer-local",
        title="A load balancer's address with the Local policy: the pod sees the client itself",
        cluster="tutorial",
        mode="iptables",
        node="node-1",
        traffic=(Traffic("client", Load(BALANCER, 80, tcp=7)),),
        fault=answers_health("node-1"),
    ),
)
