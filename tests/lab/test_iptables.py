"""iptables mode: which rules each kind of Service gets."""

from __future__ import annotations

from lab.rules import iptables
from tests.lab.cluster import HERE, plans
from tracer.node.chain_names import iptables_hash

RULES = iptables.generate(HERE, plans()).splitlines()
ONE, TWO, FOUR, FIVE = (iptables_hash(f"ns{n}/svc{n}:p80", "tcp") for n in (1, 2, 4, 5))


def said(*words: str) -> list[str]:
    return [rule for rule in RULES if all(word in rule for word in words)]


def test_a_cluster_ip_goes_through_svc_to_sep():
    assert said("172.30.0.41/32", "cluster IP", f"-j KUBE-SVC-{ONE}")
    assert said(f"-A KUBE-SVC-{ONE}", "! -s 10.0.0.0/8", "-j KUBE-MARK-MASQ")
    assert said("-j DNAT --to-destination 10.180.0.1:80")


def test_the_last_rule_of_services_is_for_node_ports():
    services = [rule for rule in RULES if rule.startswith("-A KUBE-SERVICES")]
    assert services[-1].endswith("-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")


def test_two_endpoints_are_chosen_by_halves():
    first, second = said(f"-A KUBE-SVC-{FOUR}", "->")
    assert "--probability 0.5000000000" in first
    assert "--probability" not in second


def test_local_policy_without_a_local_endpoint_drops():
    assert len(said("ns2/svc2:p80 has no local endpoints", "-j DROP")) == 3
    assert not said(f"-j KUBE-SVL-{TWO}")
    assert said(f"-A KUBE-EXT-{TWO}", "-s 10.0.0.0/8", f"-j KUBE-SVC-{TWO}")


def test_no_endpoint_at_all_rejects_and_has_no_chain():
    (refusal,) = said("ns6/svc6:p80 has no endpoints")
    assert refusal.endswith("-j REJECT")
    assert not said("172.30.0.46/32", "-j KUBE-SVC")


def test_source_ranges_have_a_firewall_chain_and_a_drop_behind_it():
    assert said(f"-A KUBE-FW-{FIVE}", "-s 203.0.113.0/25", f"-j KUBE-EXT-{FIVE}")
    assert said("-A KUBE-PROXY-FIREWALL", "5.6.7.8/32", "-j DROP")


def test_affinity_is_asked_before_the_choice():
    rules = said(f"-A KUBE-SVC-{FIVE}", "->")
    assert "--rcheck --seconds 10800 --reap" in rules[0]
    assert said("-m recent", "--set", "-j DNAT")


def test_external_traffic_is_marked_for_masquerade():
    rules = said(f"-A KUBE-EXT-{FOUR}")
    assert rules[0].endswith("-j KUBE-MARK-MASQ")
    assert rules[1].endswith(f"-j KUBE-SVC-{FOUR}")
    assert said("-A KUBE-NODEPORTS", "--dport 3001", f"-j KUBE-EXT-{TWO}")
    assert said("health check node port", "--dport 30000", "-j ACCEPT")


def test_every_chain_that_is_jumped_to_is_declared():
    declared = {line.split()[0][1:] for line in RULES if line.startswith(":")}
    targets = {line.split(" -j ")[1].split()[0] for line in RULES if " -j " in line}
    assert {name for name in targets if name.startswith("KUBE-")} <= declared
