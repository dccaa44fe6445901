"""Audits of recorded nodes: what is true of them and nothing else, and of made-up dangers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from tests.builders import batch, mapping
from tracer.address import parse
from tracer.cluster.file import load as load_cluster
from tracer.cluster.model import Cluster, Node, Pod, Service, ServicePort
from tracer.diagnosis.audit import audit
from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.diagnosis.finding import Severity
from tracer.diagnosis.guard import wanted
from tracer.events import EventBatch, Origin, no_records
from tracer.node.identity import node_of
from tracer.node.model import InterfaceAddress, NodeState
from tracer.node.state_dir import load as load_state

PCAPS = Path(__file__).resolve().parents[3] / "pcaps"
SCENARIOS = sorted(path.parent.name for path in PCAPS.glob("*/state"))
ALWAYS_TRUE = {
    "svc-no-endpoints",  # the lab's cluster has a Service that is meant to have none
    "ipvs-arp-flux",  # and in ipvs mode load balancer addresses on the link, without strictARP
}
BESIDE = {
    "endpoint-removal-lag": {"rules-not-synced"},
    "session-affinity-dead-pod": {"rules-not-synced"},
    "ipvs-nodest-silent-drop": {"rules-not-synced"},
    "ipvs-reuse-to-draining-server": {"rules-not-synced"},
    "ipvs-weight-zero-after-restart": {"rules-not-synced"},
    "ipvs-external-ip-blackhole-any-ip": {"rules-not-synced"},
    "etp-local-nodename-mismatch": {"rules-not-synced"},
    "hairpin-no-masquerade-ipvs": {"rules-not-synced"},
    "external-ip-hidden-port": {"external-ip-hijack"},
    "external-ip-hidden-port-kube-proxy-1.28": {"external-ip-hijack"},
    "external-ip-hidden-port-kube-proxy-1.34": {"external-ip-hijack"},
}
"""What is true of a state besides what its traffic shows, in every mode it was recorded in."""
IN_MODE = re.compile(r"-(ipvs|iptables|nftables)$")
TOLD_BY_STATE = {
    *("cidr-overlap", "conntrack-table-full", "discovery-not-datapath", "external-ip-hijack"),
    *("etp-local-nodename-mismatch", "forward-policy-drop"),
    *("hairpin-no-masquerade", "ip-forward-off", "iptables-backend-mix", "ipvs-conntrack-off"),
    *("ipvs-external-ip-is-node-ip", "masquerade-missing", "no-default-route"),
    *("stale-rules-mode-switch", "topology-hints-mismatch"),
}
AS_DRIFT = {"hairpin-no-masquerade-ipvs"}
"""A missing member of kube-proxy's sets is told as such."""
NOTHING = EventBatch(no_records(), Origin.CONNTRACK, 0)


@lru_cache
def audited(name: str):
    node, existing = load_state(PCAPS / name / "state")
    cluster = load_cluster(PCAPS / name / "cluster.yaml")
    node = replace(node, node_name=node_of(cluster, node))
    return audit(node, cluster, existing)


@pytest.mark.parametrize("name", SCENARIOS)
def test_only_what_is_true_is_grave(name):
    grave = {f.cause for f in audited(name).findings if f.severity > Severity.INFO}
    shown = set(json.loads((PCAPS / name / "expected.json").read_text())["findings"])
    beside = BESIDE.get(name, BESIDE.get(IN_MODE.sub("", name), set()))
    assert grave - ALWAYS_TRUE - shown == beside
    assert name in AS_DRIFT or grave >= shown & TOLD_BY_STATE


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "-kube-proxy-" in name])
def test_what_kube_proxy_itself_wrote_is_no_drift(name):
    assert "rules-not-synced" not in {finding.cause for finding in audited(name).findings}


def test_findings_come_by_severity_each_with_object_and_remedy():
    for name in SCENARIOS:
        found = audited(name).findings
        assert [f.severity for f in found] == sorted((f.severity for f in found), reverse=True)
        for finding in found:
            assert finding.cause in CAUSES_BY_ID
            assert finding.remedy
            assert finding.evidence
            assert "<" not in finding.summary


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("etp-local-nodename-mismatch", "etp-local-nodename-mismatch"),
        ("ipvs-weight-zero-after-restart", "ipvs-weight-zero-after-restart"),
        ("endpoint-removal-lag", ""),
    ],
)
def test_what_differs_for_a_known_reason_is_its_consequence(name, root):
    drift = [f for f in audited(name).findings if f.cause == "rules-not-synced"]
    assert {finding.consequence_of for finding in drift} == {root}


def service(name: str, *ips: str, cluster_ip: str = "10.96.0.1", port: int = 80) -> Service:
    return Service(
        "tenant", name, "ClusterIP", (ServicePort("", 6, port, "8080"),), (parse(cluster_ip),),
        tuple(map(parse, ips)),
    )  # fmt: skip


def node(mode: str = "iptables") -> NodeState:
    return NodeState(
        addresses=(InterfaceAddress("eth0", parse("192.168.0.2"), 24),),
        proxy_mode=mode,
        node_name="n",
        known=frozenset({"addresses", "proxy_mode"}),
    )


MASTER = Node("m", (parse("192.168.0.3"),), ("10.244.1.0/24",), control_plane=True)
OTHER = service("other", cluster_ip="10.96.0.2")
POD = Pod("kube-system", "dns", "m", (parse("10.244.1.9"),))


def claim(*ips: str, existing: EventBatch = NOTHING, mode: str = "iptables") -> dict[str, object]:
    """Findings of hijacking by address."""
    cluster = Cluster(
        services=(service("bad", *ips), OTHER), pods=(POD,), nodes=(MASTER,),
        known=frozenset({"services", "nodes", "pods"}),
    )  # fmt: skip
    found = audit(node(mode), cluster, existing).findings
    return {f.subject.address: f for f in found if f.cause == "external-ip-hijack"}


@pytest.mark.parametrize(
    ("ip", "whose"),
    [
        ("192.168.0.3", "the address of control-plane node m"),
        ("10.244.1.9", "the address of pod kube-system/dns"),
        ("10.244.1.77", "in the nodes' range of pods"),
        ("10.96.0.2", "an address of Service tenant/other"),
    ],
)
def test_a_service_that_claims_somebody_elses_address(ip, whose):
    (finding,) = claim(ip).values()
    assert finding.severity is Severity.WARNING
    assert whose in finding.summary
    assert "namespace tenant" in " ".join(fact.text for fact in finding.evidence)
    assert wanted((finding,))


def test_an_address_of_nobody_is_what_external_ips_are_for():
    assert claim("192.168.10.101") == {}


def test_an_address_that_flows_go_to_is_taken_from_them():
    to = "192.168.10.101:5432"
    flow = batch(mapping(1, "192.168.0.2:40000", to, to), origin=Origin.CONNTRACK)
    (finding,) = claim("192.168.10.101", existing=flow).values()
    assert "flows of this node go to" in finding.summary


def test_a_list_of_nodes_that_was_not_kept_is_told_of():
    found = claim("192.168.0.3", "192.168.0.44")
    stale = found[parse("192.168.0.44")]
    assert stale.severity is Severity.INFO
    assert "no node's address any more" in stale.summary


def test_load_balancers_may_share_an_address_by_ports():
    one = replace(
        service("a"), load_balancer_ips=(parse("192.0.2.9"),), load_balancer_modes=("VIP",)
    )
    two = replace(one, name="b", ports=(ServicePort("", 6, 443, "8443"),))
    same = replace(one, name="c")
    for services, number in (((one, two), 0), ((one, same), 2)):
        found = audit(node(), Cluster(services=services), NOTHING).findings
        assert len([f for f in found if f.cause == "external-ip-hijack"]) == number


def test_what_could_not_be_judged_is_said():
    told = audit(NodeState(), Cluster(known=frozenset()), NOTHING)
    assert told.findings == ()
    assert any("Services are not known" in text for text in told.degraded)
    assert any("no trace of kube-proxy" in text for text in told.degraded)
    without_rules = audit(node(), Cluster(), NOTHING)
    assert any("iptables-save.txt" in text for text in without_rules.degraded)


def test_a_firewall_before_all_pods_is_found_and_one_for_some_port_is_not():
    causes = [
        {f.cause for f in audited(name).findings}
        for name in ("foreign-firewall-order", "foreign-firewall-order-silent")
    ]
    assert ["foreign-firewall-order" in each for each in causes] == [True, False]
