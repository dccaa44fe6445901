"""kube-proxy's own names, checked against samples seen on real clusters."""

from __future__ import annotations

import pytest

from tracer.node.chain_names import ipset_name, iptables_hash, nft_endpoint, nft_port, port_label


@pytest.mark.parametrize(
    ("namespace", "service", "port", "protocol", "expected"),
    [
        ("default", "kubernetes", "https", "tcp", "NPX46M4PTMTKRN6Y"),
        ("kube-system", "kube-dns", "dns", "udp", "TCOU7JCQXEZGVUNU"),
        ("default", "svc-nodeport", "svc-webport", "tcp", "VTR7MTHHNMFZ3OFS"),
    ],
)
def test_chain_of_a_service_port(namespace, service, port, protocol, expected):
    assert iptables_hash(port_label(namespace, service, port), protocol) == expected


def test_chain_of_an_endpoint():
    label = port_label("default", "svc-nodeport", "svc-webport")
    assert iptables_hash(label, "tcp", "10.10.1.3:8080") == "XEXGJWEWSC2GPNPZ"


def test_an_unnamed_port_has_no_colon():
    assert port_label("default", "web", "") == "default/web"
    assert iptables_hash("default/nginx-ext:", "tcp") == "ICKQE4PTG2WGVXBF"


def test_nft_names_are_readable_after_the_hash():
    assert nft_port("ns1", "svc1", "tcp", "p80") == "ULMVA6XW-ns1/svc1/tcp/p80"
    name = nft_endpoint("ns1", "svc1", "tcp", "p80", "10.180.0.1", 80)
    assert name == "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
    assert "__fd00..1/80" in nft_endpoint("ns1", "svc1", "tcp", "p80", "fd00::1", 80)


def test_long_nft_names_are_cut():
    name = nft_port("n" * 200, "s" * 63, "tcp", "p80")
    assert len(name) == 240
    assert name.endswith("...")


def test_ipv6_sets_are_renamed_and_cut():
    assert ipset_name("KUBE-CLUSTER-IP", ipv6=False) == "KUBE-CLUSTER-IP"
    assert ipset_name("KUBE-CLUSTER-IP", ipv6=True) == "KUBE-6-CLUSTER-IP"
    assert len(ipset_name("KUBE-LOAD-BALANCER-SOURCE-CIDR", ipv6=True)) == 31
