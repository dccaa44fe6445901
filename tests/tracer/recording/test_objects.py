"""A cluster written as objects and read again is the same cluster."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracer.cluster.file import parse
from tracer.cluster.model import Cluster, Endpoint, HostPort, Node, Pod, Service, ServicePort
from tracer.recording.objects import objects_of

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
hostile = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: "/" not in text
)
protocols = st.sampled_from([6, 17, 132])
ports = st.integers(1, 65535)
v4 = st.ip_addresses(v=4).map(lambda ip: bytes(10) + b"\xff\xff" + ip.packed)
v6 = st.ip_addresses(v=6).map(lambda ip: ip.packed)
addresses = st.one_of(v4, v6)
several = st.lists(addresses, max_size=3, unique=True).map(tuple)

service_ports = st.builds(
    ServicePort,
    name=names,
    protocol=protocols,
    port=ports,
    target_port=st.one_of(ports.map(str), names),
    node_port=st.one_of(st.just(0), ports),
)


@st.composite
def services(draw):
    balancers = draw(several)
    modes = [draw(st.sampled_from(["VIP", "Proxy"])) for _ in balancers]
    headless = draw(st.booleans())
    return Service(
        draw(names),
        draw(hostile),
        draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])),
        tuple(draw(st.lists(service_ports, max_size=3))),
        () if headless else draw(several),
        draw(several),
        balancers,
        tuple(modes),
        draw(st.sampled_from(["Cluster", "Local"])),
        draw(st.sampled_from(["Cluster", "Local"])),
        draw(st.one_of(st.just(0), st.integers(1, 86400))),
        draw(st.one_of(st.just(0), ports)),
        draw(st.lists(names, max_size=2).map(tuple)),
        draw(st.dictionaries(hostile, hostile, max_size=2)),
        headless,
        draw(st.one_of(st.just(""), names)),
        draw(st.one_of(st.just(""), names)),
        draw(st.lists(names, max_size=2).map(tuple)),
        draw(st.sampled_from(["", "PreferClose", "PreferSameNode"])),
    )


@st.composite
def endpoints(draw):
    return Endpoint(
        f"{draw(names)}/{draw(names)}",
        draw(names),
        draw(protocols),
        draw(addresses),
        draw(ports),
        draw(names),
        draw(st.one_of(st.just(""), st.tuples(names, names).map("/".join))),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.lists(names, max_size=2).map(tuple)),
    )


pods = st.builds(
    Pod,
    namespace=names,
    name=hostile,
    node=names,
    ips=several,
    host_network=st.booleans(),
    phase=st.sampled_from(["Running", "Succeeded", "Unknown"]),
    host_ports=st.lists(
        st.builds(HostPort, protocols, ports, ports, st.one_of(st.just(b""), addresses)),
        max_size=2,
        unique=True,
    ).map(tuple),
)
nodes = st.builds(
    Node,
    name=names,
    addresses=several,
    pod_cidrs=st.lists(
        st.sampled_from(["10.244.1.0/24", "fd00:1::/64"]), max_size=2, unique=True
    ).map(tuple),
    control_plane=st.booleans(),
    zone=st.one_of(st.just(""), names),
)


def unique(strategy, key):
    return st.lists(strategy, max_size=4, unique_by=key).map(tuple)


clusters = st.builds(
    Cluster,
    services=unique(services(), lambda s: s.key),
    endpoints=unique(endpoints(), lambda e: (e.service, e.port_name, e.protocol, e.ip, e.port)),
    pods=unique(pods, lambda p: p.key),
    nodes=unique(nodes, lambda n: n.name),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters)
def test_objects_are_read_back_as_they_were(cluster):
    for part, items in objects_of(cluster).items():
        found = parse(json.dumps({"kind": "List", "items": items}).encode(), "recording")
        assert found.unparsed == ()
        assert getattr(found, part) == getattr(cluster, part)


def test_a_slice_has_all_hosts_behind_the_same_ports():
    made = tuple(
        Endpoint("shop/web", name, 6, bytes(10) + b"\xff\xff\x0a\0\0" + bytes([host]), port)
        for host in range(5)
        for name, port in (("http", 80), ("https", 443))
    )
    (found,) = objects_of(Cluster(endpoints=made))["endpoints"]
    assert len(found["endpoints"]) == 5
    assert [port["port"] for port in found["ports"]] == [80, 443]
