import numpy as np
import pytest

from bench.captures import batches
from bench.traffic import Recipe, traffic
from tests.builders import at, batch, mapping, packet, record
from tracer import address
from tracer.cluster.model import Cluster, Endpoint, Node, Pod, Service, ServiceKind, ServicePort
from tracer.events import EventBatch, Flag, Hook, Loss, Origin, Protocol
from tracer.flow import Engine
from tracer.node.model import InterfaceAddress, NodeState
from tracer.pipeline import Pipeline

CLIENT, VIP, POD = "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080"
ip = address.parse

CLUSTER = Cluster(
    services=(
        Service("default", "web", "ClusterIP", (ServicePort("http", 6, 80, "8080"),), (ip("10.96.0.10"),)),
    ),
    endpoints=(Endpoint("default/web", "http", 6, ip("10.244.1.5"), 8080, "w1", "default/web-1"),),
    pods=(
        Pod("default", "web-1", "w1", (ip("10.244.1.5"),)),
        Pod("default", "client", "w2", (ip("10.244.3.8"),)),
    ),
    nodes=(Node("w1", (ip("172.18.0.2"),)), Node("w2", (ip("172.18.0.3"),))),
    generation=1,
)  # fmt: skip


@pytest.fixture
def pipeline():
    made = Pipeline()
    made.set_cluster(CLUSTER, at(0))
    return made


def test_a_translation_is_named(pipeline):
    update = pipeline.feed(batch(mapping(1, CLIENT, VIP, POD), until=1))
    flow = pipeline.table.flows[update.changed[0]]
    hit = pipeline.enricher.hit(int(flow["service"]))
    assert (hit.key, hit.port_name, hit.kind) == ("default/web", "http", ServiceKind.CLUSTER_IP)
    assert pipeline.enricher.name(int(flow["client_name"])) == "default/client"
    assert pipeline.enricher.name(int(flow["backend_name"])) == "default/web-1"


def test_names_come_with_a_cluster_that_arrives_late():
    pipeline = Pipeline()
    pipeline.feed(batch(mapping(1, CLIENT, VIP, POD), until=1))
    update = pipeline.set_cluster(CLUSTER, at(2))
    assert len(update.changed) == 1
    flow = pipeline.table.flows[update.changed[0]]
    assert pipeline.enricher.hit(int(flow["service"])).key == "default/web"


def test_the_proxy_mode_names_the_engine_that_records_do_not(pipeline):
    pipeline.set_node(NodeState(proxy_mode="nftables"), at(0))
    update = pipeline.feed(batch(mapping(1, CLIENT, VIP, POD), until=1))
    assert pipeline.table.flows[update.changed[0]]["engine"] == Engine.NFTABLES


def test_a_healthy_connection_has_no_finding_however_long_it_waits(pipeline):
    pipeline.feed(
        batch(
            packet(1, CLIENT, VIP, "S"),
            packet(1.1, VIP, CLIENT, "SA"),
            until=1.2,
            origin=Origin.PACKETS,
        )
    )
    pipeline.feed(batch(mapping(1.05, CLIENT, VIP, POD), until=100))
    pipeline.finish()
    assert pipeline.findings.open() == []


def unanswered(lost):
    pipeline = Pipeline()
    pipeline.set_cluster(CLUSTER, at(0))
    other = mapping(0.5, "10.244.3.9:1", VIP, POD, hook=Hook.CT_UPDATE, flags=Flag.REPLIED)
    pipeline.feed(batch(other, origin=Origin.CONNTRACK, until=0.5))
    pipeline.feed(batch(mapping(1, CLIENT, VIP, POD), origin=Origin.CONNTRACK, until=1))
    pipeline.feed(batch(until=5, lost=lost))
    return pipeline.findings.open()


def test_silence_is_found_when_time_has_passed_in_the_records():
    (finding,) = unanswered(Loss())
    assert finding.cause == "unanswered-unexplained"
    assert finding.subject.service == "default/web"


def test_silence_convinces_less_when_records_were_lost():
    weak = unanswered(Loss(kernel=1))
    assert not weak or weak[0].confidence < unanswered(Loss())[0].confidence


def test_a_node_address_on_kube_ipvs0_is_critical_before_any_flow_and_closes(pipeline):
    hijacking = Service(
        "kube-system", "port-forward", "ClusterIP", (ServicePort("", 6, 6444, "6443"),),
        (ip("10.96.0.77"),), external_ips=(ip("172.18.0.3"),),
    )  # fmt: skip
    cluster = Cluster(
        (*CLUSTER.services, hijacking), CLUSTER.endpoints, CLUSTER.pods, CLUSTER.nodes, 2
    )
    pipeline.set_cluster(cluster, at(0))
    own = InterfaceAddress("eth0", ip("172.18.0.2"), 24)
    taken = InterfaceAddress("kube-ipvs0", ip("172.18.0.3"), 32)
    state = {
        "proxy_mode": "ipvs",
        "node_name": "w1",
        "known": frozenset({"addresses", "proxy_mode"}),
    }
    update = pipeline.set_node(NodeState((own, taken), **state), at(1))
    (finding,) = update.opened
    assert finding.cause == "ipvs-external-ip-is-node-ip"
    assert finding.severity.label == "critical"
    assert finding.subject.service == "kube-system/port-forward"
    healed = Cluster(CLUSTER.services, CLUSTER.endpoints, CLUSTER.pods, CLUSTER.nodes, 3)
    pipeline.set_cluster(healed, at(2))
    update = pipeline.set_node(NodeState((own,), **state), at(3))
    assert pipeline.findings.open() == []
    assert pipeline.findings.closed()[0].cause == "ipvs-external-ip-is-node-ip"


def test_accounts_for_everything_it_was_given(pipeline):
    pipeline.feed(batch(packet(1, CLIENT, VIP, "S"), origin=Origin.PACKETS, until=1, damaged=2))
    pipeline.feed(batch(record(Hook.NAT_DECIDED, 1, CLIENT, VIP), until=1, lost=Loss(3, 4, 5)))
    assert (pipeline.packets, pipeline.events, pipeline.damaged) == (1, 1, 2)
    assert pipeline.lost == Loss(3, 4, 5)


def test_suspects_are_flows_without_any_answer(pipeline):
    pipeline.feed(batch(mapping(1, CLIENT, VIP, POD), until=1))
    answered = mapping(1, "10.244.3.8:40001", VIP, POD, flags=Flag.DST_NAT | Flag.REPLIED)
    pipeline.feed(batch(answered, until=4))
    rows = pipeline.suspects(2_000_000_000)
    assert pipeline.table.flows["client_port"][rows].tolist() == [40000]


def test_udp_of_one_datagram_is_never_a_blackhole(pipeline):
    pipeline.feed(batch(mapping(1, CLIENT, VIP, POD, protocol=Protocol.UDP), until=1))
    pipeline.feed(batch(until=60))
    pipeline.finish()
    assert pipeline.findings.open() == []


def test_empty_batches_are_harmless(pipeline):
    update = pipeline.feed(batch(until=1))
    assert update.changed.size == 0
    assert np.asarray(update.changed).dtype == np.intp


def test_silence_is_not_judged_before_the_slowest_source_has_come_that_far():
    pipeline = Pipeline(several_clocks=True)
    pipeline.set_cluster(CLUSTER, at(0))
    other = packet(0.2, VIP, "10.244.3.9:1", "SA")
    pipeline.feed(batch(other, until=0.5, origin=Origin.PACKETS))
    pipeline.feed(batch(mapping(1, CLIENT, VIP, POD), until=9))
    assert pipeline.now_ns == at(0.5)
    assert pipeline.findings.open() == []
    late = (packet(1, CLIENT, VIP, "S"), packet(1.1, VIP, CLIENT, "SA"))
    pipeline.feed(batch(*late, until=9, origin=Origin.PACKETS))
    assert pipeline.now_ns == at(9)
    pipeline.finish()
    assert pipeline.findings.open() == []


def test_records_that_were_asked_for_do_not_hold_time_back():
    pipeline = Pipeline(several_clocks=True)
    pipeline.feed(EventBatch(mapping(1, CLIENT, VIP, POD), Origin.CONNTRACK, until_ns=0))
    pipeline.feed(batch(until=9))
    assert pipeline.now_ns == at(9)


def test_translations_may_be_looked_for_before_the_batch_is_fed():
    told = []
    for ahead in (False, True):
        pipeline = Pipeline(pair=True)
        given = list(batches(traffic(Recipe(connections=40, seconds=2.0)), size=500))
        for each in map(pipeline.prepared, given) if ahead else given:
            assert (each.pairs is not None) == ahead
            pipeline.feed(each)
        pipeline.finish()
        flows = pipeline.table.flows[pipeline.table.translated()]
        told.append(
            sorted(flows[["client", "client_port", "backend", "pairing"]].tolist(), key=str)
        )
    assert len(told[0]) > 30
    assert str(told[0]) == str(told[1])
