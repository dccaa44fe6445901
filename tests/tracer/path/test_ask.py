"""Questions as users write them, and answers as they read them."""

from __future__ import annotations

import json

import pytest

from tests.tracer.path.node import packet, programmed
from tests.tracer.path.test_services import (
    ADDRESSES,
    CLIENT,
    HERE,
    NEIGHBOUR,
    ONE,
    OTHER_POD,
    POD,
    ROUTES,
    cluster,
)
from tracer import address
from tracer.cluster.model import Cluster, Pod
from tracer.errors import InputError
from tracer.node.chain_names import iptables_hash, nft_endpoint
from tracer.path.ask import explain, packet_of
from tracer.path.names import Names
from tracer.path.report import as_json, as_tree


def test_a_packet_in_words():
    asked = packet_of("10.244.1.10:4711", "10.96.0.10:53/udp")
    assert (asked.protocol, asked.sport, asked.dport) == (17, 4711, 53)
    asked = packet_of("fd00::1", "[fd00:96::a]:80")
    assert (asked.protocol, asked.sport, asked.ipv6) == (6, None, True)


@pytest.mark.parametrize(
    ("source", "target", "what"),
    [
        ("10.0.0.1", "10.96.0.10", "no port"),
        ("10.0.0.1", "10.96.0.10:80/icmp", "not a protocol"),
        ("pod", "10.96.0.10:80", "not an address"),
        ("10.0.0.1:99999", "10.96.0.10:80", "not an address"),
        ("10.0.0.1", "[fd00::1]:80", "different families"),
    ],
)
def test_a_wrong_question_is_told_so(source, target, what):
    with pytest.raises(InputError, match=what):
        packet_of(source, target)


def asked(sender: str = "", source: str = NEIGHBOUR, mode: str = "iptables", **spec):
    made = cluster(ONE, pods=(POD, OTHER_POD), **spec)
    pods = (Pod("shop", "web-1", HERE, (address.parse(POD),)),)
    made = Cluster(made.services, made.endpoints, pods, made.nodes)
    state = programmed(made, HERE, mode, ADDRESSES, ROUTES)
    return explain(state, made, packet(source, "10.96.0.41:80"), sender, HERE)


@pytest.mark.parametrize(
    ("sender", "source", "device"),
    [
        ("", NEIGHBOUR, "cni0"),
        ("", CLIENT, "eth0"),
        ("", "172.18.0.2", ""),
        ("local", NEIGHBOUR, ""),
        ("iface:eth0", NEIGHBOUR, "eth0"),
        ("pod:shop/web-1", CLIENT, "cni0"),
    ],
)
def test_where_a_packet_comes_in(sender, source, device):
    assert asked(sender, source).packet.incoming == device


@pytest.mark.parametrize(
    ("target", "source"),
    [("10.96.0.41:80", "172.18.0.2"), ("172.18.0.2:22", "172.18.0.2"), (f"{POD}:80", "10.244.1.1")],
)
def test_a_process_that_leaves_its_source_to_the_kernel(target, source):
    made = cluster(ONE)
    state = programmed(made, HERE, "iptables", ADDRESSES, ROUTES)
    sent = explain(state, made, packet("0.0.0.0", target)).packet
    assert (sent.src, sent.incoming) == (address.parse(source), "")


@pytest.mark.parametrize("sender", ["pod:shop/none", "elsewhere", "iface:", "iface:eth9"])
def test_a_sender_that_is_not_known(sender):
    with pytest.raises(InputError):
        asked(sender)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_the_json_object_keeps_its_contract(mode):
    told = as_json(asked(mode=mode))
    assert {"type", "verdict", "cause", "steps", "backends", "masquerade", "source_nat"} <= set(
        told
    )
    assert (told["type"], told["verdict"], told["cause"]) == ("path", "delivered", None)
    assert all(
        {"hook", "table", "chain", "rule", "effect", "meaning"} == set(s) for s in told["steps"]
    )
    assert [backend["name"] for backend in told["backends"]] == ["shop/web-1", None]
    assert told["source_nat"] is None
    json.dumps(told)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_the_tree_names_services_pods_and_other_nodes(mode):
    text = "\n".join(as_tree(asked(mode=mode)))
    assert "10.96.0.41:80 (service shop/web (ClusterIP))" in text
    assert "[endpoints of shop/web:http]" in text
    assert "50.0%  10.244.1.11:80 (shop/web-1)" in text
    assert "the rest is decided on node node-b" in text


def test_nothing_of_a_rule_acts_on_the_terminal():
    state = programmed(cluster(ONE), HERE, "iptables", ADDRESSES, ROUTES)
    chain = state.xtables[0].tables["nat"]["PREROUTING"]
    chain.lines.insert(0, '-A PREROUTING -m comment --comment "\x1b[2J" -j MARK --set-mark 1')
    chain.numbers.insert(0, 1)
    lines = as_tree(explain(state, Cluster(), packet(NEIGHBOUR, "10.96.0.41:80")))
    assert any("\\x1b[2J" in line for line in lines)
    assert all("\x1b" not in line for line in lines)


def test_hashes_are_resolved_from_the_cluster():
    names = Names(cluster(ONE))
    label = "shop/web:http"
    assert names.chain(f"KUBE-SVL-{iptables_hash(label, 'tcp')}") == f"local endpoints of {label}"
    where = f"{POD}:80"
    sep = names.chain(f"KUBE-SEP-{iptables_hash(label, 'tcp', where)}")
    assert sep == f"endpoint {where} of {label}"
    chain = f"endpoint-{nft_endpoint('shop', 'web', 'tcp', 'http', POD, 80)}"
    assert names.chain(chain) == sep
    assert names.chain("KUBE-SVC-AAAAAAAAAAAAAAAA") == ""
    assert names.chain("INPUT") == ""


def test_chains_the_cluster_does_not_know_are_told_by_comments_and_names():
    names = Names(Cluster())
    rule = '-A KUBE-SERVICES -m comment --comment "a/b:p cluster IP" -j KUBE-SVC-AAAAAAAAAAAAAAAA'
    assert names.chain("KUBE-SVC-AAAAAAAAAAAAAAAA", rule) == "endpoints of a/b:p"
    rule = '-A X -m comment --comment "a/b:p -> 10.0.0.1:80" -j KUBE-SEP-AAAAAAAAAAAAAAAA'
    assert names.chain("KUBE-SEP-AAAAAAAAAAAAAAAA", rule) == "endpoint 10.0.0.1:80 of a/b:p"
    assert names.chain("KUBE-XLB-AAAAAAAAAAAAAAAA", "--comment a/b") == "external traffic to a/b"
    assert names.chain("KUBE-SVC-AAAAAAAAAAAAAAAA", '--comment "else"') == ""
    nft = "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
    assert names.chain(nft) == "endpoint 10.180.0.1:80 of ns1/svc1:p80"
    assert names.chain("external-5OJB2KTY-ns1/svc1/tcp/") == "external traffic to ns1/svc1"
