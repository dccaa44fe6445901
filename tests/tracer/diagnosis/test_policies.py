"""Policies of Services: local endpoints, source ranges, zones, families."""

from dataclasses import replace

import pytest

from tests.builders import mapping
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    HERE,
    IN_HOOK,
    MASTER_1,
    NETFILTER,
    NODES,
    POD_HERE,
    THERE,
    VIP,
    Story,
    cluster,
    dropped,
    node_state,
    service,
    with_endpoints,
    words,
)
from tracer.address import parse
from tracer.diagnosis.finding import Severity
from tracer.events import Hook
from tracer.node.nft_ruleset import NftRuleset, NftSet, NftTable
from tracer.node.xtables import XtChain, XtTables

BALANCER = "203.0.113.10"
LOCAL = service(external_policy="Local", load_balancer_ips=(parse(BALANCER),))
NODE_PORT = f"{CLIENT}:40000", f"{MASTER_1}:30080"
DENIED = (
    '-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "default/web:http has no local '
    'endpoints" -j DROP'
)


def ruled(*lines):
    chain = XtChain("KUBE-EXTERNAL-SERVICES", lines=list(lines))
    tables = XtTables(False, "nft", "", {"filter": {chain.name: chain}})
    state = node_state()
    return replace(state, xtables=(tables,), known=state.known | {"xtables"})


def in_nft(verdict):
    known = NftSet("no-endpoint-nodeports", is_map=True)
    known.exact["tcp", "30080"] = verdict
    known.comments["tcp", "30080"] = "default/web:http"
    table = NftTable("ip", "kube-proxy", sets={known.name: known})
    state = node_state(mode="nftables")
    ruleset = NftRuleset("", {("ip", "kube-proxy"): table})
    return replace(state, nft=ruleset, known=state.known | {"nft"})


@pytest.mark.parametrize("state", [ruled(DENIED), in_nft({"drop": None})])
def test_rules_that_deny_the_nodes_own_endpoints(state):
    story = Story(cluster(LOCAL, endpoints=[HERE, THERE]), state)
    assert story.causes == ["etp-local-nodename-mismatch"]
    story.tell(dropped(1, NODE_PORT, NETFILTER, IN_HOOK))
    assert (story.only.count, story.only.cause) == (1, "etp-local-nodename-mismatch")
    assert "--hostname-override" in words(story.only)


@pytest.mark.parametrize("state", [ruled(), in_nft({"goto": "reject-chain"}), node_state()])
def test_rules_that_do_not(state):
    assert Story(cluster(LOCAL, endpoints=[HERE, THERE]), state).causes == []


def test_a_node_without_an_endpoint_is_rightly_said_to_have_none():
    assert Story(cluster(LOCAL, endpoints=[THERE]), ruled(DENIED)).causes == []


def test_an_endpoint_that_is_going_leaves_a_gap():
    going = replace(HERE, ready=False, serving=False, terminating=True)
    story = Story(cluster(LOCAL, endpoints=[going, THERE]), node_state())
    story.tell(dropped(1, NODE_PORT, NETFILTER, IN_HOOK))
    assert story.causes == ["etp-local-rollout-gap"]
    story.cluster(with_endpoints(cluster(LOCAL), HERE, THERE))
    story.wait(2)
    assert story.closed == ["etp-local-rollout-gap"]


def test_without_one_that_was_there_it_is_the_policy():
    story = Story(cluster(LOCAL, endpoints=[THERE]), node_state())
    story.tell(dropped(1, NODE_PORT, NETFILTER, IN_HOOK))
    assert story.causes == ["no-local-endpoint-drop"]


RANGED = service(load_balancer_ips=(parse(BALANCER),), source_ranges=("10.0.0.0/8",))


@pytest.mark.parametrize(
    ("client", "cause"), [(MASTER_1, "lb-source-ranges-node"), (CLIENT, "lb-source-ranges-drop")]
)
def test_the_node_itself_is_outside_the_ranges(client, cause):
    story = Story(cluster(RANGED, endpoints=[HERE]), node_state())
    story.tell(dropped(1, (f"{client}:40000", f"{BALANCER}:80"), NETFILTER, IN_HOOK))
    assert story.causes == [cause]
    assert f"{client}/32" in words(story.only)


FROM_ITSELF = f"{BALANCER}:40000", f"{BALANCER}:80"


def asked_by_the_node(known):
    """In ipvs mode: with the Service's address as source, translated, then dropped."""
    story = Story(known, node_state(BALANCER, mode="ipvs"))
    story.tell(
        mapping(1, *FROM_ITSELF, f"{POD_HERE}:8080", hook=Hook.IPVS_NEW),
        dropped(1, FROM_ITSELF, NETFILTER, IN_HOOK),
    )
    story.wait(5)
    return story


def test_in_ipvs_mode_the_services_address_stands_for_the_node():
    story = asked_by_the_node(cluster(RANGED, endpoints=[HERE]))
    assert story.causes == ["lb-source-ranges-node"]
    assert f"{MASTER_1}/32" in words(story.only)
    assert f"{BALANCER}/32" not in words(story.only)


def test_in_ipvs_mode_ranges_that_hold_the_node_are_not_blamed():
    wide = replace(RANGED, source_ranges=("172.18.0.0/16",))
    assert "lb-source-ranges-node" not in asked_by_the_node(cluster(wide, endpoints=[HERE])).causes


def test_ranges_that_hold_the_node_let_it_in():
    wide = replace(RANGED, source_ranges=("172.18.0.0/16",))
    story = Story(cluster(wide, endpoints=[HERE]), node_state())
    story.tell(dropped(1, (f"{MASTER_1}:40000", f"{BALANCER}:80"), NETFILTER, IN_HOOK))
    story.wait(4)
    assert "lb-source-ranges-node" not in story.causes


@pytest.mark.parametrize(
    ("mode", "client", "cause"),
    [
        ("nftables", CLIENT_POD, "nft-etp-local-pod-drop"),
        ("nftables", CLIENT, "no-local-endpoint-drop"),
        ("iptables", CLIENT_POD, "no-local-endpoint-drop"),
    ],
)
def test_a_pod_is_taken_for_an_outside_client(mode, client, cause):
    story = Story(cluster(LOCAL, endpoints=[THERE]), node_state(mode=mode))
    story.tell(dropped(1, (f"{client}:40000", f"{BALANCER}:80"), NETFILTER, IN_HOOK))
    assert story.causes == [cause]


def hinted(zone):
    zones = tuple(replace(node, zone="a") for node in NODES)
    return replace(cluster(service(), endpoints=[replace(HERE, zones=(zone,))]), nodes=zones)


def test_hints_for_a_zone_without_nodes():
    assert Story(hinted("b"), node_state()).causes == ["topology-hints-mismatch"]
    assert Story(hinted("a"), node_state()).causes == []


def test_without_zones_or_hints_nothing_is_said():
    known = replace(hinted("b"), nodes=NODES)
    assert Story(known, node_state()).causes == []
    assert Story(cluster(service(), endpoints=[HERE]), node_state()).causes == []


DUAL = service(cluster_ips=(parse(VIP), parse("fd00::10")))


def test_a_family_without_endpoints_is_a_remark_until_somebody_is_refused():
    story = Story(cluster(DUAL, endpoints=[HERE]), node_state())
    assert (story.only.cause, story.only.severity) == ("ip-family-mismatch", Severity.INFO)
    story.tell(dropped(1, ("[fd00::9]:40000", "[fd00::10]:80"), NETFILTER, IN_HOOK))
    assert story.only.severity == Severity.WARNING
    assert story.only.count == 1


def test_the_family_that_has_endpoints_is_another_matter():
    story = Story(cluster(DUAL, endpoints=[HERE]), node_state())
    story.tell(dropped(1, (f"{CLIENT_POD}:40000", f"{VIP}:80"), NETFILTER, IN_HOOK))
    story.wait(4)
    assert "dropped-unexplained" in story.causes


def test_dns_without_endpoints_is_a_consequence():
    dns = service(name="kube-dns", namespace="kube-system")
    story = Story(cluster(dns), node_state())
    assert (story.only.cause, story.only.consequence_of) == (
        "discovery-not-datapath",
        "svc-no-endpoints",
    )
