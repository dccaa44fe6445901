"""kube-proxy's own published test data: its packet flows, and one cluster's rules in two modes.

The data belongs to Kubernetes and is not kept here: PUBLISHED_RULES names a directory with
``packetflow.json``, ``six-services.iptables-save.txt`` and ``six-services.nft.json``.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lab.rules import plan
from tests.tracer.path.node import interface, node, packet, programmed, route, walked
from tracer import address
from tracer.cluster.model import Cluster, Endpoint, Node, Service, ServicePort
from tracer.diagnosis.audit import audit
from tracer.diagnosis.finding import Severity
from tracer.drift.compare import compared
from tracer.drift.difference import Turn
from tracer.events import EventBatch, Origin, no_records
from tracer.node import nft_json
from tracer.node.lines import Unread
from tracer.path.names import Names

PLACE = os.environ.get("PUBLISHED_RULES", "")
pytestmark = pytest.mark.skipif(
    not PLACE, reason="PUBLISHED_RULES does not name a directory with kube-proxy's test data"
)
HERE, NODE_IP = "testNode", "192.168.0.2"
SOURCES = {"external": "203.0.113.2", "externalBlocked": "203.0.113.130"}
ADDRESSES = interface("lo", "127.0.0.1/8") + interface("eth0", f"{NODE_IP}/24")
ROUTES = [
    route("192.168.0.0/24", "eth0"),
    route("10.0.0.0/8", "cni0"),
    route("0.0.0.0/0", "eth0", "192.168.0.1"),
]
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
MODES = ("iptables", "nftables")


def device(source: str) -> str:
    if source.startswith("10."):
        return "cni0"
    return "" if not source.startswith("203.") else "eth0"


def answer(state, source: str, target: str, protocol: str = "tcp") -> tuple[object, ...]:
    path = walked(state, packet(source, target, device(source), protocol))
    backends = sorted(address.endpoint(c.ip, c.port) for c in path.choices)
    return path.verdict, tuple(backends), path.masquerade, path.unknown


def service(spec: dict, number: int = 0) -> tuple[Service, list[Endpoint]]:
    """One Service of the flows' file, which spells ports and endpoints in two ways."""
    ports = spec.get("ports") or [["", "TCP", spec["port"], 80]]
    made = Service(
        namespace=spec.get("ns", "ns1"),
        name=spec.get("name", f"svc{number}"),
        type=spec.get("type", "LoadBalancer"),
        ports=tuple(
            ServicePort(name, PROTOCOLS[kind.lower()], port, str(to), spec.get("nodePort", 0))
            for name, kind, port, to in ports
        ),
        cluster_ips=(address.parse(spec["clusterIP"]),),
        external_ips=tuple(map(address.parse, spec.get("externalIPs", ()))),
        load_balancer_ips=tuple(map(address.parse, spec.get("lbIPs", ()))),
        source_ranges=tuple(spec.get("loadBalancerSourceRanges", ())),
    )
    places = [e if isinstance(e, list) else [e, HERE] for e in spec["endpoints"]]
    endpoints = [
        Endpoint(made.key, name, PROTOCOLS[kind.lower()], address.parse(ip), to, where)
        for name, kind, _, to in ports
        for ip, where in places
    ]
    return made, endpoints


def flows() -> list[tuple[str, list]]:
    if not PLACE:
        return []
    told = json.loads((Path(PLACE) / "packetflow.json").read_text())
    return [(name, flow) for name in told if name[0] != "_" for flow in told[name]["flows"]]


def cluster_of(name: str) -> Cluster:
    spec = json.loads((Path(PLACE) / "packetflow.json").read_text())[name]
    made = [service(one, n) for n, one in enumerate(spec.get("services") or [spec["service"]])]
    here = Node(HERE, (address.parse(NODE_IP),), ("10.0.0.0/8",))
    return Cluster(
        services=tuple(one for one, _ in made),
        endpoints=tuple(e for _, endpoints in made for e in endpoints),
        nodes=(here,),
    )


def test_the_flows_are_there():
    assert len(flows()) >= 20


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "flow"), flows())
def test_explain_gives_what_kube_proxy_expects(name, flow, mode, monkeypatch):
    monkeypatch.setattr(plan, "SERVICE_RANGES", ("172.30.0.0/16",))
    has_protocol = flow[1].isalpha()
    protocol = flow[1].lower() if has_protocol else "tcp"
    source, target, port, expected, *masquerade = flow[:1] + flow[1 + has_protocol :]
    source = SOURCES.get(source, source)
    cluster = cluster_of(name)
    served = {(p.protocol, p.port) for s in cluster.services for p in s.ports}
    served |= {(p.protocol, p.node_port) for s in cluster.services for p in s.ports}
    unserved = (PROTOCOLS[protocol], port) not in served or not any(
        address.parse(target) in (*s.cluster_ips, *s.external_ips, *s.load_balancer_ips)
        and (PROTOCOLS[protocol], port) in {(p.protocol, p.port) for p in s.ports}
        for s in cluster.services
    )
    if mode == "iptables" and unserved and target != NODE_IP:
        pytest.skip("iptables mode has no rule for what no Service serves")
    extra = interface("lo", f"{source}/32") if source == target else []
    state = programmed(cluster, HERE, mode, ADDRESSES + extra, ROUTES)
    verdict, backends, masqueraded, unknown = answer(state, source, f"{target}:{port}", protocol)
    assert unknown == ()
    if expected in ("REJECT", "DROP"):
        assert (verdict, backends) == ({"REJECT": "rejected", "DROP": "dropped"}[expected], ())
    else:
        wanted = [expected] if isinstance(expected, str) else expected
        assert (verdict, list(backends)) == ("delivered", sorted(wanted))
        assert masqueraded == masquerade[0].startswith("masq=true")


def six_services() -> Cluster:
    """The cluster that the published rule sets were made for."""

    def one(number: int, kind: str, pods: tuple[str, ...], **more: object) -> None:
        made = Service(
            namespace=f"ns{number}",
            name=f"svc{number}",
            type=kind,
            ports=(ServicePort("p80", 6, 80, "80", more.pop("node_port", 0)),),
            cluster_ips=(address.parse(f"172.30.0.4{number}"),),
            load_balancer_modes=("VIP",),
            **more,
        )
        services.append(made)
        endpoints.extend(
            Endpoint(made.key, "p80", 6, address.parse(ip), 80, "elsewhere") for ip in pods
        )

    services: list[Service] = []
    endpoints: list[Endpoint] = []
    one(1, "ClusterIP", ("10.180.0.1",))
    one(2, "LoadBalancer", ("10.180.0.2",), node_port=3001, external_policy="Local",
        external_ips=(address.parse("192.168.99.22"),),
        load_balancer_ips=(address.parse("1.2.3.4"),))  # fmt: skip
    one(3, "NodePort", ("10.180.0.3",), node_port=3003)
    one(4, "NodePort", ("10.180.0.4", "10.180.0.5"),
        external_ips=(address.parse("192.168.99.33"),))  # fmt: skip
    one(5, "LoadBalancer", ("10.180.0.3",), node_port=3002, affinity_seconds=10800,
        source_ranges=("203.0.113.0/25",), load_balancer_ips=(address.parse("5.6.7.8"),))  # fmt: skip
    one(6, "ClusterIP", ())
    here = Node(HERE, (address.parse(NODE_IP),), ("10.0.0.0/8",))
    return Cluster(services=tuple(services), endpoints=tuple(endpoints), nodes=(here,))


def _with_jumps(text: str) -> str:
    """The listing with the jumps to KUBE-PROXY-FIREWALL, which the published rules leave out."""
    if "-j KUBE-PROXY-FIREWALL" in text:
        return text
    jumps = (
        f"-A {base} -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL"
        for base in ("INPUT", "FORWARD", "OUTPUT")
    )
    head, sign, tail = text.partition("-A INPUT")
    return head + "\n".join(jumps) + "\n" + sign + tail


def test_rules_that_no_packet_meets_are_found():
    text = (Path(PLACE) / "six-services.iptables-save.txt").read_text()
    if "-j KUBE-PROXY-FIREWALL" in text:
        pytest.skip("this listing has every jump")
    state = replace(node(ADDRESSES, ROUTES, xtables=text), proxy_mode="iptables", node_name=HERE)
    (found,) = compared(state, six_services(), HERE)
    assert (found.turn, found.what) == (Turn.UNMET, "chain KUBE-PROXY-FIREWALL of the filter table")


def state_of(mode: str):
    if mode == "iptables":
        text = (Path(PLACE) / "six-services.iptables-save.txt").read_text()
        return node(ADDRESSES, ROUTES, xtables=_with_jumps(text))
    unread = Unread("six-services.nft.json")
    ruleset = nft_json.parse((Path(PLACE) / unread.file).read_text(), unread)
    assert unread.listed() == ()
    return replace(node(ADDRESSES, ROUTES), nft=ruleset)


TARGETS = [
    *(f"172.30.0.4{number}:80" for number in range(1, 7)),
    *("192.168.99.22:80", "1.2.3.4:80", "192.168.99.33:80", "5.6.7.8:80"),
    *(f"{NODE_IP}:{port}" for port in (3001, 3002, 3003)),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ["10.180.0.77", "10.180.0.3", NODE_IP, *SOURCES.values()])
def test_both_modes_give_the_same_answer(source, target):
    first, second = (answer(state_of(mode), source, target) for mode in MODES)
    assert first == second
    assert first[0] in ("delivered", "dropped", "rejected")


@pytest.mark.parametrize("mode", MODES)
def test_nothing_differs_from_the_cluster_they_were_made_for(mode):
    told = replace(state_of(mode), proxy_mode=mode, node_name=HERE)
    cluster = six_services()
    assert compared(told, cluster, HERE) == ()
    found = audit(told, cluster, EventBatch(no_records(), Origin.CONNTRACK, 0)).findings
    grave = {finding.cause for finding in found if finding.severity > Severity.INFO}
    # 1.2.3.4 and 5.6.7.8 are nobody's in particular; svc6 was given no endpoints.
    assert grave <= {"svc-no-endpoints"}


@pytest.mark.parametrize("mode", MODES)
def test_chains_are_explained_by_the_services_they_serve(mode):
    names, state = Names(six_services()), state_of(mode)
    chains = [c for x in state.xtables for c in x.tables["nat"]] if mode == "iptables" else [
        c for t in state.nft.tables.values() for c in t.chains
    ]  # fmt: skip
    hashed = [c for c in chains if c.startswith(
        ("KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-", "service-", "endpoint-", "external-"))
        and c != "service-endpoints-check"]  # fmt: skip
    assert len(hashed) >= 10
    assert [name for name in hashed if not names.chain(name)] == []
