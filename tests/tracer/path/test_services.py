"""What comes of a packet for each kind of Service, on the rules that each mode writes for it.

The expectations are those of kube-proxy's own packet flow tests, restated.
"""

from __future__ import annotations

import pytest

from tests.tracer.path.node import interface, packet, programmed, route, told, walked
from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint, Node, Service, ServicePort

HERE, THERE = "node-a", "node-b"
NODE_IP = "172.18.0.2"
POD, NEIGHBOUR, OTHER_POD = "10.244.1.11", "10.244.1.10", "10.244.2.11"
CLIENT, STRANGER = "203.0.113.2", "203.0.113.130"
ADDRESSES = (
    interface("lo", "127.0.0.1/8")
    + interface("eth0", f"{NODE_IP}/16")
    + interface("cni0", "10.244.1.1/24")
)
ROUTES = [
    route("172.18.0.0/16", "eth0"),
    route("10.244.1.0/24", "cni0"),
    route("10.244.2.0/24", "eth0", "172.18.0.3"),
    route("0.0.0.0/0", "eth0", "172.18.0.1"),
]
DEVICES = {NODE_IP: "", "127.0.0.1": "", POD: "cni0", NEIGHBOUR: "cni0"}
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}


def cluster(*ports: tuple[str, str, int, int], pods=(POD,), **spec: object) -> Cluster:
    """One Service with these ports (name, protocol, port, target port) and pods."""
    service = Service(
        namespace="shop",
        name="web",
        type="LoadBalancer",
        ports=tuple(
            ServicePort(name, PROTOCOLS[protocol], port, str(target), spec.get("node_port", 0))
            for name, protocol, port, target in ports
        ),
        cluster_ips=(parse("10.96.0.41"),),
        external_ips=tuple(map(parse, spec.get("external", ()))),
        load_balancer_ips=tuple(map(parse, spec.get("balancer", ()))),
        source_ranges=spec.get("ranges", ()),
        external_policy=spec.get("external_policy", "Cluster"),
        affinity_seconds=spec.get("affinity", 0),
    )
    endpoints = tuple(
        Endpoint("shop/web", name, PROTOCOLS[protocol], parse(ip), target,
                 HERE if ip.startswith("10.244.1.") else THERE)
        for name, protocol, _, target in ports
        for ip in pods
    )  # fmt: skip
    node = Node(HERE, (parse(NODE_IP),), ("10.244.0.0/16",))
    return Cluster(services=(service,), endpoints=endpoints, nodes=(node,))


def flow(made: Cluster, mode: str, source: str, target: str, protocol: str = "tcp") -> str:
    state = programmed(made, HERE, mode, ADDRESSES, ROUTES)
    return told(walked(state, packet(source, target, DEVICES.get(source, "eth0"), protocol)))


ONE = ("http", "tcp", 80, 80)
REFUSED = "rejected: svc-no-endpoints"


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (NEIGHBOUR, "10.96.0.41:80"),
        (CLIENT, "192.168.99.11:80"),
        (NEIGHBOUR, f"{NODE_IP}:30001"),
        (CLIENT, f"{NODE_IP}:30001"),
        (NODE_IP, f"{NODE_IP}:30001"),
        (NEIGHBOUR, "192.0.2.4:80"),
        (CLIENT, "192.0.2.4:80"),
        (NODE_IP, "10.96.0.41:80"),
    ],
)
def test_a_service_without_endpoints_refuses_on_every_address(mode, source, target):
    made = cluster(
        ONE, pods=(), node_port=30001, external=("192.168.99.11",), balancer=("192.0.2.4",)
    )
    assert flow(made, mode, source, target) == REFUSED


MANY = (
    ONE,
    ("https", "tcp", 443, 8443),
    ("dns-udp", "udp", 53, 53),
    ("dns-tcp", "tcp", 53, 5353),
    ("dns-sctp", "sctp", 53, 53),
)


@pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
@pytest.mark.parametrize(
    ("protocol", "port", "target"),
    [("tcp", 80, 80), ("tcp", 443, 8443), ("tcp", 53, 5353), ("udp", 53, 53), ("sctp", 53, 53)],
)
def test_each_port_goes_to_its_own_target_port(mode, protocol, port, target):
    made = cluster(*MANY, pods=(POD, OTHER_POD))
    found = flow(made, mode, NEIGHBOUR, f"10.96.0.41:{port}", protocol)
    assert found == f"delivered {POD}:{target}, {OTHER_POD}:{target}"


@pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
def test_a_pod_that_reaches_itself_is_masqueraded(mode):
    assert flow(cluster(ONE), mode, POD, "10.96.0.41:80") == f"delivered {POD}:80 masquerade"
    assert flow(cluster(ONE), mode, NEIGHBOUR, "10.96.0.41:80") == f"delivered {POD}:80"


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [("nftables", "rejected: vip-port-not-served"), ("ipvs", "rejected: vip-port-not-served"),
     ("iptables", "delivered")],
)  # fmt: skip
def test_a_port_that_is_not_served(mode, verdict):
    """iptables mode has no rule about it: the packet follows the default route."""
    assert flow(cluster(ONE), mode, NEIGHBOUR, "10.96.0.41:81") == verdict


def test_an_address_that_no_service_has():
    assert flow(cluster(ONE), "nftables", NEIGHBOUR, "10.96.0.50:80") == (
        "dropped: vip-port-not-served"
    )


RANGED = {
    "balancer": ("192.0.2.4", "192.0.2.5"),
    "ranges": ("172.18.0.0/16", "203.0.113.0/25"),
    "node_port": 30001,
}
MASQUERADED = f"delivered {POD}:80 masquerade"
OUTSIDE = "dropped: lb-source-ranges-drop"


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (NEIGHBOUR, "10.96.0.41:80", f"delivered {POD}:80"),
        (CLIENT, f"{NODE_IP}:30001", MASQUERADED),
        (STRANGER, f"{NODE_IP}:30001", MASQUERADED),
        (CLIENT, "192.0.2.4:80", MASQUERADED),
        (CLIENT, "192.0.2.5:80", MASQUERADED),
        (STRANGER, "192.0.2.4:80", OUTSIDE),
        (NEIGHBOUR, "192.0.2.5:80", OUTSIDE),
        (NODE_IP, "192.0.2.4:80", MASQUERADED),
        ("192.0.2.4", "192.0.2.4:80", MASQUERADED),
    ],
)
def test_source_ranges_bind_load_balancer_addresses_only(mode, source, target, expected):
    assert flow(cluster(ONE, **RANGED), mode, source, target) == expected


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_the_local_policy_drops_what_has_no_pod_here(mode):
    made = cluster(
        ONE, pods=(OTHER_POD,), node_port=30001, external_policy="Local", balancer=("192.0.2.4",)
    )
    assert flow(made, mode, CLIENT, f"{NODE_IP}:30001") == "dropped: no-local-endpoint-drop"
    assert flow(made, mode, CLIENT, "192.0.2.4:80") == "dropped: no-local-endpoint-drop"
    assert flow(made, mode, NEIGHBOUR, "192.0.2.4:80") == f"delivered {OTHER_POD}:80"
    assert flow(made, mode, NODE_IP, "192.0.2.4:80") == f"delivered {OTHER_POD}:80 masquerade"


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_the_local_policy_keeps_the_source(mode):
    made = cluster(ONE, pods=(POD, OTHER_POD), node_port=30001, external_policy="Local")
    assert flow(made, mode, CLIENT, f"{NODE_IP}:30001") == f"delivered {POD}:80"


@pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
def test_every_backend_has_the_same_chance(mode):
    pods = tuple(f"10.244.2.{n}" for n in range(1, 8))
    state = programmed(cluster(ONE, pods=pods, affinity=60), HERE, mode, ADDRESSES, ROUTES)
    path = walked(state, packet(NEIGHBOUR, "10.96.0.41:80", "cni0"))
    assert [choice.probability for choice in path.choices] == pytest.approx([1 / 7] * 7)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_ipv6_goes_the_same_way(mode):
    service = Service(
        "shop", "web", "ClusterIP", (ServicePort("http", 6, 80, "80"),), (parse("fd00:10:96::41"),)
    )
    made = Cluster(
        services=(service,),
        endpoints=(Endpoint("shop/web", "http", 6, parse("fd00:244:1::11"), 80, HERE),),
        nodes=(Node(HERE, (parse("fd00:18::2"),), ("fd00:244::/32",)),),
    )
    addresses = interface("eth0", "fd00:18::2/64") + interface("cni0", "fd00:244:1::1/64")
    routes = [route("fd00:244:1::/64", "cni0"), route("fd00:18::/64", "eth0")]
    state = programmed(made, HERE, mode, addresses, routes, ipv6=True)
    same = walked(state, packet("fd00:244:1::11", "[fd00:10:96::41]:80", "cni0"))
    other = walked(state, packet("fd00:18::9", "[fd00:10:96::41]:80", "eth0"))
    assert told(same) == told(other) == "delivered [fd00:244:1::11]:80 masquerade"
    assert (same.source, other.source) == (parse("fd00:244:1::1"),) * 2


@pytest.mark.parametrize(("conntrack", "masquerades"), [("1", True), ("0", False)])
def test_ipvs_masquerades_only_what_it_tracks(conntrack, masquerades):
    state = programmed(
        cluster(ONE), HERE, "ipvs", ADDRESSES, ROUTES,
        sysctls={"net.ipv4.vs.conntrack": conntrack},
    )  # fmt: skip
    path = walked(state, packet(POD, "10.96.0.41:80", "cni0"))
    assert (path.verdict, path.masquerade) == ("delivered", masquerades)
    assert [step.hook for step in path.steps if step.table == "ipvs"] == ["INPUT"]


def test_a_node_reaches_a_service_through_ipvs_at_its_output():
    found = flow(cluster(ONE), "ipvs", NODE_IP, "10.96.0.41:80")
    assert found == f"delivered {POD}:80 masquerade"
