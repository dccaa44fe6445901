"""ipvs mode: virtual servers, kube-ipvs0, sets and the rules around them."""

from __future__ import annotations

from dataclasses import replace

from lab.objects import read, to_cluster
from lab.rules import ipvs
from lab.rules.plan import node_plan, port_plans
from tests.lab.cluster import HERE, SIX, endpoint, plans

SERVERS = ipvs.ipvsadm(HERE, plans()).splitlines()
RULES = ipvs.rules(HERE, plans()).splitlines()
MEMBERS = ipvs.members(HERE, plans())


def test_a_virtual_server_for_each_address():
    assert "-A -t 172.30.0.41:80 -s rr" in SERVERS
    assert "-a -t 172.30.0.41:80 -r 10.180.0.1:80 -m -w 1" in SERVERS
    assert "-A -t 192.168.0.2:3003 -s rr" in SERVERS
    assert "-A -t 5.6.7.8:80 -s rr -p 10800" in SERVERS


def test_a_service_without_endpoints_is_a_virtual_server_without_real_ones():
    assert [line for line in SERVERS if "172.30.0.46" in line] == ["-A -t 172.30.0.46:80 -s rr"]


def test_local_policy_without_a_local_endpoint_takes_all_of_them():
    assert "-a -t 1.2.3.4:80 -r 10.180.0.2:80 -m -w 1" in SERVERS


def test_local_policy_with_local_endpoints_takes_only_those():
    both = replace(SIX, endpoints=(*SIX.endpoints, endpoint(2, "10.180.0.9")))
    lines = ipvs.ipvsadm(HERE, plans(both)).splitlines()
    behind = [line for line in lines if line.startswith("-a -t 1.2.3.4:80")]
    assert behind == ["-a -t 1.2.3.4:80 -r 10.180.0.9:80 -m -w 1"]


def test_sets_say_who_is_masqueraded():
    assert MEMBERS["KUBE-CLUSTER-IP"][0] == "172.30.0.41,tcp:80"
    assert MEMBERS["KUBE-EXTERNAL-IP"] == ["192.168.99.33,tcp:80"]
    assert MEMBERS["KUBE-EXTERNAL-IP-LOCAL"] == ["192.168.99.22,tcp:80"]
    assert MEMBERS["KUBE-LOAD-BALANCER-LOCAL"] == ["1.2.3.4,tcp:80"]
    assert MEMBERS["KUBE-NODE-PORT-TCP"] == ["3001", "3003", "3002"]
    assert MEMBERS["KUBE-NODE-PORT-LOCAL-TCP"] == ["3001"]
    assert MEMBERS["KUBE-LOAD-BALANCER-SOURCE-CIDR"] == ["5.6.7.8,tcp:80,203.0.113.0/25"]
    assert "10.180.0.1,tcp:80,10.180.0.1" in MEMBERS["KUBE-LOOP-BACK"]
    assert not any("10.180.0.2" in entry for entry in MEMBERS["KUBE-LOOP-BACK"])


def test_only_filled_sets_have_rules():
    assert any("KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ" in rule for rule in RULES)
    assert not any("KUBE-NODE-PORT-UDP" in rule for rule in RULES)


def test_a_node_outside_the_source_ranges_is_kept_from_the_balancer():
    refused = [rule for rule in RULES if rule.startswith("-A KUBE-IPVS-OUT-FILTER")]
    served = "-m ipvs --vaddr 5.6.7.8 --vproto tcp --vport 80"
    assert refused == [f"-A KUBE-IPVS-OUT-FILTER -s 5.6.7.8/32 {served} -j DROP"]
    assert MEMBERS["KUBE-LOAD-BALANCER-SOURCE-IP"] == []
    inside = replace(HERE, addresses=("203.0.113.9",))
    assert not any("-m ipvs" in rule for rule in ipvs.rules(inside, plans()).splitlines())
    allowed = ipvs.members(inside, plans())["KUBE-LOAD-BALANCER-SOURCE-IP"]
    assert allowed == ["5.6.7.8,tcp:80,5.6.7.8"]


def test_node_ports_are_served_on_every_address_of_the_node():
    lines = ipvs.ipvsadm(replace(HERE, has_pods=True), plans()).splitlines()
    assert "-A -t 169.254.1.1:3003 -s rr" in lines
    assert not any("169.254.1.1" in line for line in SERVERS)


def test_sctp_node_ports_are_members_with_their_address():
    sctp = [replace(plan, protocol="sctp", port=9, node_port=3009) for plan in plans()[:1]]
    found = ipvs.members(HERE, [replace(plan, external_local=True) for plan in sctp])
    assert found["KUBE-NODE-PORT-SCTP-HASH"] == ["192.168.0.2,sctp:3009"]
    assert found["KUBE-NODE-PORT-LOCAL-SCTP-HASH"] == ["192.168.0.2,sctp:3009"]


def test_service_addresses_of_other_ports_are_rejected_last():
    access = [rule for rule in RULES if rule.startswith("-A KUBE-IPVS-FILTER")]
    assert access[-1].endswith("KUBE-IPVS-IPS dst -j REJECT")


def test_node_addresses_as_external_ips_are_bound_on_every_other_node():
    cluster = to_cluster(read("port-forward"))
    bound = ipvs.bound_addresses(
        node_plan(cluster, "master-1", ipv6=False), port_plans(cluster, "master-1", ipv6=False)
    )
    assert {"172.18.0.12", "172.18.0.13"} <= set(bound)
    assert "172.18.0.11" not in bound
