"""Rules as kube-proxy writes them differ in nothing; each kind of damage is one difference."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from lab.differential.services import HERE as RANDOM_NODE
from lab.differential.services import random_cluster
from tests.tracer.path.node import interface, programmed, route
from tracer.address import is_ipv4, parse, text
from tracer.cluster.model import Cluster, Endpoint, Node, Service, ServicePort
from tracer.drift.compare import compared
from tracer.drift.difference import Turn
from tracer.node.chain_names import iptables_hash
from tracer.node.model import IPVS_DEVICE, NodeState

HERE, THERE = "node-a", "node-b"
MODES = ("iptables", "nftables", "ipvs")
ADDRESSES = interface("lo", "127.0.0.1/8") + interface("eth0", "172.18.0.2/16")
ROUTES = [route("0.0.0.0/0", "eth0", "172.18.0.1")]
LOCAL_POD, FAR_POD = "10.244.1.11", "10.244.2.11"


def service(name: str, number: int, **spec: object) -> Service:
    return Service(
        namespace="shop",
        name=name,
        type=spec.pop("type", "ClusterIP"),
        ports=(ServicePort("http", 6, 80, "8080", spec.pop("node_port", 0)),),
        cluster_ips=(parse(f"10.96.0.{number}"),),
        **spec,
    )


def endpoint(of: str, ip: str, node: str = THERE, **more: object) -> Endpoint:
    return Endpoint(f"shop/{of}", "http", 6, parse(ip), 8080, node, **more)


def shop(*more: Endpoint) -> Cluster:
    """A Service inside, one for everybody with policy Local, and one without endpoints."""
    services = (
        service("web", 10),
        service("door", 11, type="LoadBalancer", node_port=30080, external_policy="Local",
                external_ips=(parse("192.168.9.9"),), load_balancer_ips=(parse("192.0.2.4"),),
                load_balancer_modes=("VIP",)),
        service("empty", 12),
    )  # fmt: skip
    endpoints = (
        endpoint("web", LOCAL_POD, HERE),
        endpoint("web", FAR_POD),
        endpoint("door", LOCAL_POD, HERE),
        endpoint("door", FAR_POD),
        *more,
    )
    nodes = (Node(HERE, (parse("172.18.0.2"),), ("10.244.0.0/16",)),)
    return Cluster(services=services, endpoints=endpoints, nodes=nodes)


def state(mode: str, cluster: Cluster) -> NodeState:
    return replace(programmed(cluster, HERE, mode, ADDRESSES, ROUTES), proxy_mode=mode)


def turns(node: NodeState, cluster: Cluster, name: str = HERE) -> set[Turn]:
    return {found.turn for found in compared(node, cluster, name)}


@pytest.mark.parametrize("mode", MODES)
def test_what_kube_proxy_wrote_differs_in_nothing(mode):
    assert compared(state(mode, shop()), shop(), HERE) == ()


def of_family(cluster: Cluster, ipv6: bool) -> Cluster:
    """The same cluster with addresses of one family only."""

    def mine(ips: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(ip for ip in ips if is_ipv4(ip) != ipv6)

    fields = ("cluster_ips", "external_ips", "load_balancer_ips")
    return replace(
        cluster,
        services=tuple(
            replace(s, **{field: mine(getattr(s, field)) for field in fields})
            for s in cluster.services
        ),
        endpoints=tuple(e for e in cluster.endpoints if is_ipv4(e.ip) != ipv6),
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ipv6", [False, True])
def test_nor_do_random_services_of_every_kind(mode, ipv6):
    for seed in range(12):
        cluster = of_family(random_cluster(random.Random(seed)), ipv6)
        own = interface("eth0", *(f"{text(ip)}/64" for ip in cluster.nodes[0].addresses))
        node = programmed(cluster, RANDOM_NODE, mode, own, ROUTES, ipv6=ipv6)
        node = replace(
            node, proxy_mode=mode, known=node.known - {"xtables.ip6" if not ipv6 else "xtables.ip"}
        )
        assert compared(node, cluster, RANDOM_NODE) == (), seed


@pytest.mark.parametrize("mode", MODES)
def test_a_new_service_and_one_that_is_gone(mode):
    more = replace(shop(), services=(*shop().services, service("new", 13)))
    assert turns(state(mode, shop()), more) >= {Turn.NOT_PROGRAMMED}
    found = compared(state(mode, more), shop(), HERE)
    gone = {"ipvs": Turn.LEFT_BOUND}.get(mode, Turn.LEFT)
    assert gone in {one.turn for one in found}
    assert all(one.service == "" for one in found)


@pytest.mark.parametrize("mode", MODES)
def test_an_endpoint_that_came_and_one_that_went(mode):
    grown = shop(endpoint("web", "10.244.2.12"))
    (found,) = compared(state(mode, shop()), grown, HERE)
    assert (found.turn, found.service) == (Turn.WITHOUT, "shop/web")
    assert "10.244.2.12:8080" in found.told
    (found,) = compared(state(mode, grown), shop(), HERE)
    assert (found.turn, found.service) == (Turn.GONE, "shop/web")


@pytest.mark.parametrize("mode", MODES)
def test_a_service_refused_although_it_has_endpoints(mode):
    served = shop(endpoint("empty", FAR_POD))
    (found,) = compared(state(mode, shop()), served, HERE)
    assert found.service == "shop/empty"
    assert found.turn is (Turn.WITHOUT if mode == "ipvs" else Turn.REFUSED)


@pytest.mark.parametrize("mode", MODES)
def test_rules_written_under_another_node_name(mode):
    wrong = replace(shop(), nodes=(replace(shop().nodes[0], name="elsewhere"),))
    node = replace(programmed(wrong, "elsewhere", mode, ADDRESSES, ROUTES), proxy_mode=mode)
    assert Turn.LOCALITY in turns(node, shop())
    assert compared(node, shop(), "") == ()  # who this is is not known: nothing is claimed


def test_hints_leave_endpoints_out_and_terminating_ones_serve_last():
    hinted = shop(*(replace(e, service="shop/empty", zones=("a",)) for e in shop().endpoints[:2]))
    partly = shop(replace(hinted.endpoints[-1]))
    assert compared(state("iptables", partly), hinted, HERE) == ()
    last = {"ready": False, "serving": True, "terminating": True}
    leaving = shop(endpoint("empty", FAR_POD, **last))
    assert compared(state("nftables", leaving), leaving, HERE) == ()


def test_services_of_other_proxies_and_unknown_clusters_are_left_alone():
    other = replace(shop(), services=(*shop().services, service("x", 14, proxied_by="mesh")))
    assert compared(state("iptables", shop()), other, HERE) == ()
    unknown = replace(other, known=frozenset({"services"}))
    assert compared(state("iptables", Cluster(nodes=shop().nodes)), unknown, HERE) == ()


def edited(node: NodeState, table: str, chain: str, edit) -> NodeState:
    """The same node with the lines of one chain changed."""
    (tables,) = node.xtables
    chains = dict(tables.tables[table])
    old = chains[chain]
    chains[chain] = replace(old, lines=edit(old.lines), _by_destination=None)
    return replace(node, xtables=(replace(tables, tables={**tables.tables, table: chains}),))


def test_shares_that_are_not_equal():
    dispatch = f"KUBE-SVC-{iptables_hash('shop/web:http', 'tcp')}"

    def tilted(lines):
        return [line.replace("0.5000000000", "0.9000000000") for line in lines]

    (found,) = compared(edited(state("iptables", shop()), "nat", dispatch, tilted), shop(), HERE)
    assert (found.turn, found.by) == (Turn.UNEVEN, dispatch)
    assert "90.0%" in found.told


def test_jumps_that_are_gone_and_rules_that_are_flushed():
    node = state("iptables", shop())
    unjumped = edited(node, "nat", "PREROUTING", lambda lines: [])
    assert turns(unjumped, shop()) == {Turn.UNREACHED}
    unfiltered = edited(node, "filter", "FORWARD", lambda lines: lines[:1])
    assert turns(unfiltered, shop()) == {Turn.UNMET}
    assert turns(edited(node, "nat", "KUBE-SERVICES", lambda lines: []), shop()) == {Turn.FLUSHED}
    assert turns(replace(node, xtables=()), shop()) == {Turn.FLUSHED}
    assert turns(replace(node, proxy_mode=""), shop()) == set()


def test_nftables_elements_that_are_gone():
    node = state("nftables", shop())
    table = node.nft.tables["ip", "kube-proxy"]
    del table.sets["service-ips"].exact["10.96.0.10", "tcp", "80"]
    (found,) = compared(node, shop(), HERE)
    assert (found.turn, found.service) == (Turn.NOT_PROGRAMMED, "shop/web")
    del table.chains["nat-prerouting"]
    assert Turn.UNREACHED in turns(node, shop())
    table.sets.clear()
    assert turns(node, shop()) == {Turn.FLUSHED}
    assert turns(replace(node, nft=type(node.nft)()), shop()) == {Turn.FLUSHED}


def test_what_ipvs_mode_keeps_beside_its_servers():
    node = state("ipvs", shop())
    rest = node.virtual_servers[1:]
    assert Turn.NOT_PROGRAMMED in turns(replace(node, virtual_servers=rest), shop())
    web = next(s for s in node.virtual_servers if s.ip == parse("10.96.0.10"))
    heavy = replace(web, backends=((*web.backends[0][:2], 9), *web.backends[1:]))
    others = tuple(s for s in node.virtual_servers if s is not web)
    assert turns(replace(node, virtual_servers=(heavy, *others)), shop()) == {Turn.UNEVEN}
    unbound = tuple(a for a in node.addresses if a.ip != parse("10.96.0.10"))
    (found,) = compared(replace(node, addresses=unbound), shop(), HERE)
    assert (found.turn, found.service) == (Turn.NOT_BOUND, "shop/web")
    left = (*node.addresses, *interface(IPVS_DEVICE, "203.0.113.77/32"))
    (found,) = compared(replace(node, addresses=left), shop(), HERE)
    assert (found.turn, found.service) == (Turn.LEFT_BOUND, "")


@pytest.mark.parametrize("name", ["KUBE-CLUSTER-IP", "KUBE-LOOP-BACK", "KUBE-NODE-PORT-LOCAL-TCP"])
def test_members_that_sets_lack_or_keep(name):
    node = state("ipvs", shop())

    def with_members(members):
        return replace(node, address_sets=tuple(
            replace(s, members=members(s.members)) if s.name == name else s
            for s in node.address_sets
        ))  # fmt: skip

    found = compared(with_members(lambda old: old[1:]), shop(), HERE)
    assert [(one.turn, one.by) for one in found] == [(Turn.SET_LACKS, name)]
    found = compared(with_members(lambda old: (*old, "10.96.0.99,tcp:1")), shop(), HERE)
    assert [(one.turn, one.by) for one in found] == [(Turn.SET_LEFT, name)]


def test_a_local_node_port_may_be_in_both_sets():
    node = state("ipvs", shop())
    (local,) = (s for s in node.address_sets if s.name == "KUBE-NODE-PORT-LOCAL-TCP")
    (plain,) = (s for s in node.address_sets if s.name == "KUBE-NODE-PORT-TCP")
    others = tuple(s for s in node.address_sets if s is not plain)
    both = tuple(dict.fromkeys((*plain.members, *local.members)))
    alone = tuple(member for member in both if member not in local.members)
    for members in (both, alone):
        sets = (*others, replace(plain, members=members))
        assert list(compared(replace(node, address_sets=sets), shop(), HERE)) == []
