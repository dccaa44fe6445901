"""What the addresses of flows are called, asked of a small cluster."""

import numpy as np
import pytest

from tracer import address
from tracer.cluster.model import (
    Cluster,
    Endpoint,
    Handover,
    HostPort,
    Node,
    Pod,
    Service,
    ServiceKind,
    ServicePort,
)
from tracer.enrich import Enricher
from tracer.flow import FLOW
from tracer.names import Names
from tracer.node.model import InterfaceAddress, NodeState, VirtualServer

ip = address.parse
TCP, UDP = 6, 17
SECOND = 1_000_000_000

WEB = Service(
    namespace="shop",
    name="web",
    type="LoadBalancer",
    ports=(ServicePort("http", TCP, 80, "8080", 31704), ServicePort("dns", UDP, 53, "53", 31705)),
    cluster_ips=(ip("10.96.0.10"),),
    external_ips=(ip("192.168.10.101"),),
    load_balancer_ips=(ip("203.0.113.7"), ip("203.0.113.8")),
    load_balancer_modes=("VIP", "Proxy"),
)
SIX = Service(
    namespace="shop",
    name="six",
    type="NodePort",
    ports=(ServicePort("", TCP, 80, "80", 31800),),
    cluster_ips=(ip("fd00:96::6"),),
)
HIJACK = Service(
    namespace="kube-system",
    name="port-forward",
    type="ClusterIP",
    ports=(ServicePort("", TCP, 6444, "6443"),),
    cluster_ips=(ip("10.96.0.44"),),
    external_ips=(ip("192.168.50.1"), ip("10.96.0.10")),
)
API = Endpoint(
    "kube-system/port-forward", "", TCP, ip("192.168.50.1"), 6443, "m1", "kube-system/apiserver-m1"
)
PODS = (
    Pod("shop", "web-old", "w1", (ip("10.244.1.10"),), phase="Succeeded"),
    Pod("shop", "web-1", "w1", (ip("10.244.1.10"), ip("fd00:244::10"))),
    Pod("shop", "job", "w1", (ip("10.244.1.99"),), phase="Failed"),
    Pod(
        "edge",
        "proxy",
        "w1",
        (ip("10.244.1.20"),),
        host_ports=(HostPort(TCP, 8443, 443), HostPort(TCP, 8445, 445, ip("0.0.0.0"))),
    ),
    Pod(
        "edge",
        "inner",
        "w1",
        (ip("10.244.1.21"),),
        host_ports=(
            HostPort(TCP, 8443, 443, ip("10.244.1.1")),
            HostPort(TCP, 8444, 444, ip("127.0.0.1")),
        ),
    ),
    Pod(
        "edge",
        "away",
        "m1",
        (ip("10.244.0.21"), ip("fd00:244::21")),
        host_ports=(
            HostPort(TCP, 8446, 446, ip("127.0.0.1")),
            HostPort(TCP, 8447, 447, ip("203.0.113.80")),
            HostPort(TCP, 8448, 448, ip("::")),
        ),
    ),
    Pod(
        "kube-system",
        "exporter",
        "w1",
        (ip("192.168.50.2"),),
        host_network=True,
        host_ports=(HostPort(TCP, 9100, 9100), HostPort(TCP, 9101, 9101, ip("127.0.0.1"))),
    ),
)
NODES = (
    Node("m1", (ip("192.168.50.1"),), ("10.244.0.0/24",), control_plane=True),
    Node("w1", (ip("192.168.50.2"), ip("2001:db8::2")), ("10.244.1.0/24", "broken")),
)
CLUSTER = Cluster((WEB, SIX, HIJACK), (API,), PODS, NODES, generation=7)
THIS_NODE = NodeState(
    addresses=(
        InterfaceAddress("lo", ip("127.0.0.1"), 8),
        InterfaceAddress("cni0", ip("10.244.1.1"), 24),
        InterfaceAddress("kube-ipvs0", ip("10.96.0.10"), 32),
    ),
    virtual_servers=(VirtualServer(TCP, ip("10.96.9.9"), 80, "rr"),),
    node_name="w1",
)


@pytest.fixture
def enricher():
    enricher = Enricher(Names())
    enricher.set_cluster(CLUSTER, THIS_NODE)
    return enricher


def columns(where, port, protocol):
    return (
        address.column([ip(where)]),
        np.array([port], dtype=np.uint16),
        np.array([protocol], dtype=np.uint8),
    )


def service(enricher, where, port, protocol=TCP):
    hit = enricher.hit(int(enricher.services_of(*columns(where, port, protocol))[0]))
    return hit and (hit.key, hit.port_name, hit.kind.name)


def name(enricher, where):
    return enricher.name(int(enricher.names_of(address.column([ip(where)]))[0]))


def backend(enricher, where, port, protocol=TCP):
    return enricher.name(int(enricher.backends_of(*columns(where, port, protocol))[0]))


@pytest.mark.parametrize(
    ("where", "port", "protocol", "expected"),
    [
        ("10.96.0.10", 80, TCP, ("shop/web", "http", "CLUSTER_IP")),
        ("10.96.0.10", 53, UDP, ("shop/web", "dns", "CLUSTER_IP")),
        ("10.96.0.10", 53, TCP, None),
        ("10.96.0.10", 8080, TCP, None),
        ("192.168.10.101", 80, TCP, ("shop/web", "http", "EXTERNAL_IP")),
        ("203.0.113.7", 80, TCP, ("shop/web", "http", "LOAD_BALANCER")),
        ("203.0.113.8", 80, TCP, None),
        ("192.168.50.1", 31704, TCP, ("shop/web", "http", "NODE_PORT")),
        ("192.168.50.2", 31705, UDP, ("shop/web", "dns", "NODE_PORT")),
        ("127.0.0.1", 31704, TCP, ("shop/web", "http", "NODE_PORT")),
        ("10.244.1.1", 31704, TCP, ("shop/web", "http", "NODE_PORT")),
        ("10.96.0.10", 31704, TCP, None),
        ("8.8.8.8", 31704, TCP, None),
        ("192.168.50.2", 31800, TCP, None),
        ("2001:db8::2", 31800, TCP, ("shop/six", "", "NODE_PORT")),
        ("2001:db8::2", 31704, TCP, None),
        ("192.168.50.1", 6444, TCP, ("kube-system/port-forward", "", "EXTERNAL_IP")),
        ("192.168.50.1", 2380, TCP, None),
        ("192.168.50.2", 8443, TCP, ("edge/proxy", "", "HOST_PORT")),
        ("10.244.1.1", 8443, TCP, ("edge/inner", "", "HOST_PORT")),
        ("192.168.50.1", 8443, TCP, None),
        ("2001:db8::2", 8443, TCP, None),
        ("192.168.50.2", 8445, TCP, ("edge/proxy", "", "HOST_PORT")),
        ("127.0.0.1", 8444, TCP, ("edge/inner", "", "HOST_PORT")),
        ("192.168.50.2", 8444, TCP, None),
        ("127.0.0.1", 8446, TCP, None),
        ("203.0.113.80", 8447, TCP, ("edge/away", "", "HOST_PORT")),
        ("192.168.50.1", 8447, TCP, None),
        ("192.168.50.1", 8448, TCP, None),
    ],
)
def test_which_service_a_destination_is(enricher, where, port, protocol, expected):
    assert service(enricher, where, port, protocol) == expected


def test_a_cluster_ip_is_not_taken_over_by_somebody_elses_external_ip():
    thief = Service(
        "a", "thief", "ClusterIP", (ServicePort("", TCP, 80, "1"),), (), (ip("10.96.0.10"),)
    )
    enricher = Enricher(Names())
    enricher.set_cluster(Cluster((thief, WEB)))
    assert service(enricher, "10.96.0.10", 80) == ("shop/web", "http", "CLUSTER_IP")


@pytest.mark.parametrize("change", [{"headless": True}, {"type": "ExternalName"}])
def test_services_that_kube_proxy_skips_have_no_addresses(change):
    import dataclasses

    enricher = Enricher(Names())
    skipped = dataclasses.replace(WEB, cluster_ips=(), **change)
    enricher.set_cluster(Cluster((skipped,), nodes=NODES))
    assert service(enricher, "192.168.10.101", 80) is None
    assert service(enricher, "192.168.50.1", 31704) is None


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("10.244.1.10", "shop/web-1"),
        ("fd00:244::10", "shop/web-1"),
        ("10.244.1.99", "shop/job"),
        ("192.168.50.2", "w1"),
        ("192.168.50.1", "m1"),
        ("2001:db8::2", "w1"),
        ("10.244.1.1", "w1"),
        ("127.0.0.1", ""),
        ("10.96.0.10", ""),
        ("203.0.113.7", ""),
        ("8.8.8.8", ""),
    ],
)
def test_whose_an_address_is(enricher, where, expected):
    assert name(enricher, where) == expected


@pytest.mark.parametrize(
    ("where", "port", "expected"),
    [
        ("10.244.1.10", 8080, "shop/web-1"),
        ("192.168.50.1", 6443, "kube-system/apiserver-m1"),
        ("192.168.50.1", 22, "m1"),
        ("192.168.50.2", 9100, "kube-system/exporter"),
    ],
)
def test_who_listens_on_a_nodes_port(enricher, where, port, expected):
    assert backend(enricher, where, port) == expected


def flow(**fields):
    row = np.zeros(1, dtype=FLOW)
    for field, value in fields.items():
        row[field] = address.column([ip(value)]) if isinstance(value, str) else value
    return row


def test_annotate_writes_the_asked_rows_only(enricher):
    translated = {
        "client": "10.244.1.10",
        "virtual": "192.168.50.1",
        "virtual_port": 6444,
        "backend": "192.168.50.1",
        "backend_port": 6443,
        "protocol": TCP,
    }
    flows = np.concatenate([flow(service=-5), flow(**translated), flow(client="8.8.8.8")])
    enricher.annotate(flows, np.array([1, 2]))
    assert flows["service"][0] == -5
    assert enricher.hit(int(flows["service"][1])).key == "kube-system/port-forward"
    assert enricher.name(int(flows["client_name"][1])) == "shop/web-1"
    assert enricher.name(int(flows["backend_name"][1])) == "kube-system/apiserver-m1"
    assert flows[["service", "client_name", "backend_name"]][2].tolist() == (-1, 0, 0)
    assert flows["generation"].tolist() == [0, 7, 7]


def test_no_rows_and_no_cluster_are_no_special_case():
    enricher = Enricher(Names())
    flows = flow(service=5)
    enricher.annotate(flows, np.zeros(0, dtype=np.intp))
    assert flows["service"][0] == 5
    enricher.annotate(flows, np.zeros(1, dtype=np.intp))
    assert flows["service"][0] == -1
    assert enricher.watched_prefixes() == []
    assert (enricher.hit(-1), enricher.hit(99), enricher.name(0)) == (None, None, "")


def test_numbers_keep_their_meaning_when_the_cluster_changes(enricher):
    web = enricher.services_of(*columns("10.96.0.10", 80, TCP))[0]
    gone = enricher.services_of(*columns("192.168.50.1", 6444, TCP))[0]
    pod = enricher.names_of(address.column([ip("10.244.1.10")]))[0]
    enricher.set_cluster(Cluster((SIX, WEB), pods=PODS[::-1], generation=8))
    assert enricher.services_of(*columns("10.96.0.10", 80, TCP))[0] == web
    assert enricher.names_of(address.column([ip("10.244.1.10")]))[0] == pod
    assert enricher.hit(int(gone)).key == "kube-system/port-forward"
    assert service(enricher, "192.168.50.1", 6444) is None


def test_a_new_address_of_this_node_is_learnt(enricher):
    assert service(enricher, "172.16.0.1", 31704) is None
    more = (*THIS_NODE.addresses, InterfaceAddress("eth1", ip("172.16.0.1"), 24))
    enricher.set_cluster(CLUSTER, NodeState(addresses=more, node_name="w1"))
    assert service(enricher, "172.16.0.1", 31704) == ("shop/web", "http", "NODE_PORT")
    assert name(enricher, "172.16.0.1") == "w1"


def test_watched_prefixes_cover_every_address_once(enricher):
    shown = [(address.text(packed), bits) for packed, bits in enricher.watched_prefixes()]
    assert sorted(shown) == sorted(
        [
            ("10.244.0.0", 120),
            ("10.244.1.0", 120),
            ("10.96.0.10", 128),
            ("10.96.0.44", 128),
            ("10.96.9.9", 128),
            ("192.168.10.101", 128),
            ("192.168.50.1", 128),
            ("192.168.50.2", 128),
            ("203.0.113.7", 128),
            ("203.0.113.80", 128),
            ("2001:db8::2", 128),
            ("fd00:244::10", 128),
            ("fd00:244::21", 128),
            ("fd00:96::6", 128),
        ]
    )


def test_every_kind_has_been_met(enricher):
    met = {
        enricher.hit(number).kind for number in range(len(ServiceKind) * 3) if enricher.hit(number)
    }
    assert met == set(ServiceKind)


def dated(client, backend, seconds, port=8080):
    made = np.zeros(1, dtype=FLOW)
    made["client"], made["backend"] = (address.column([ip(one)]) for one in (client, backend))
    made["backend_port"], made["protocol"], made["last_ns"] = port, TCP, seconds * SECOND
    return made


def named(enricher, made):
    enricher.annotate(made, np.array([0]))
    return enricher.name(int(made["client_name"][0])), enricher.name(int(made["backend_name"][0]))


def test_an_address_names_the_pod_that_had_it_then():
    a, b = "10.244.1.7", "10.244.1.8"
    cluster = Cluster(
        pods=(Pod("shop", "third", "w1", (ip(a),)), Pod("shop", "other", "w1", (ip(b),))),
        handovers=(
            Handover(100 * SECOND, ip(a), "shop/first", "shop/second"),
            Handover(200 * SECOND, ip(a), "shop/second", "shop/third"),
        ),
    )
    enricher = Enricher(Names())
    enricher.set_cluster(cluster)
    assert named(enricher, dated(b, a, 50)) == ("shop/other", "shop/first")
    assert named(enricher, dated(b, a, 150)) == ("shop/other", "shop/second")
    assert named(enricher, dated(b, a, 250)) == ("shop/other", "shop/third")


def test_a_pod_that_is_gone_keeps_its_name_until_another_takes_its_address():
    cluster = Cluster(handovers=(Handover(100 * SECOND, ip("10.244.1.7"), "shop/first"),))
    enricher = Enricher(Names())
    enricher.set_cluster(cluster)
    assert named(enricher, dated("10.244.1.7", "10.244.1.7", 500)) == ("shop/first", "shop/first")


def test_pods_of_other_nodes_are_named_by_the_slices():
    away = Endpoint("shop/web", "http", TCP, ip("10.244.9.9"), 8080, "w9", "shop/web-9")
    node = Node("w1", (ip("192.168.1.1"),))
    enricher = Enricher(Names())
    enricher.set_cluster(Cluster(endpoints=(away,), nodes=(node,), pods_of="w1"))
    assert named(enricher, dated("10.244.9.9", "10.244.9.9", 1)) == ("shop/web-9", "shop/web-9")


def test_only_what_changed_is_looked_at_again():
    enricher = Enricher(Names())
    first = Cluster(services=(WEB,), pods=PODS, endpoints=(API,))
    enricher.set_cluster(first)
    direct, owners, slices = enricher._direct, enricher._owners, enricher._sliced
    enricher.set_cluster(first.successor(endpoints=()))
    assert (enricher._direct is direct, enricher._owners is owners) == (True, True)
    assert enricher._sliced is not slices
