"""nftables mode: the maps, and the chains behind them."""

from __future__ import annotations

from dataclasses import replace

from lab.rules import nftables
from lab.rules.plan import NodePlan, Target
from tests.lab.cluster import HERE, plans

SCRIPT = nftables.generate(HERE, plans()).splitlines()


def said(*words: str) -> list[str]:
    return [line for line in SCRIPT if all(word in line for word in words)]


def test_a_cluster_ip_is_a_map_element():
    chain = "service-ULMVA6XW-ns1/svc1/tcp/p80"
    assert said("element", "service-ips", f"172.30.0.41 . tcp . 80 : goto {chain}")
    assert said(f"rule ip kube-proxy {chain}", "ip saddr != 10.0.0.0/8 jump mark-for-masquerade")
    assert said("meta l4proto tcp dnat to 10.180.0.1:80")


def test_refusals_are_map_elements_with_the_service_as_comment():
    assert said("no-endpoint-services", "172.30.0.46", '"ns6/svc6:p80" : goto reject-chain')
    assert said("no-endpoint-services", "1.2.3.4", '"ns2/svc2:p80" : drop')
    assert said("no-endpoint-nodeports", "tcp . 3001", "drop")


def test_local_policy_short_circuits_pods_and_the_node():
    rules = said("add rule", "external-42NFTM6N")
    assert len(rules) == 3
    assert "short-circuit pod traffic" in rules[0]


def test_source_ranges_and_affinity():
    assert said("firewall-ips", "5.6.7.8 . tcp . 80 : goto firewall-HVFWP5L3")
    assert said("firewall-HVFWP5L3", "ip saddr != { 203.0.113.0/25 } drop")
    assert said("add set", "affinity-GTK6MW7G", "timeout 10800s")


def test_the_table_is_replaced_not_extended():
    assert SCRIPT[:2] == ["add table ip kube-proxy", "delete table ip kube-proxy"]


def test_ipv6_has_its_own_table_and_types():
    node = NodePlan("node-a", True, ("fc00::2",), ("fd00:10::/56",))
    target = Target("fd00:10::1", 8080, local=True)
    plan = replace(plans()[0], cluster_ip="fd00:96::1", targets=(target,))
    text = nftables.generate(node, [plan])
    assert "table ip6 kube-proxy" in text
    assert "ipv6_addr" in text
    assert "ip6 saddr != fd00:10::/56" in text
    assert "dnat to [fd00:10::1]:8080" in text
    assert " ip saddr" not in text


def test_a_chain_is_made_before_anything_goes_to_it():
    made: set[str] = set()
    for line in SCRIPT:
        if line.startswith("add chain"):
            made.add(line.split()[4])
        for word in ("goto", "jump"):
            for after in line.split(f" {word} ")[1:]:
                assert after.split()[0] in made
