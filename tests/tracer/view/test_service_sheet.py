from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import at, batch, mapping
from tests.tracer.shown import HOSTILE, answer, blackhole, cluster, connect, refuse, traced
from tracer.address import parse
from tracer.cluster.model import ClusterChange, Endpoint, Service, ServicePort, Turn
from tracer.events import Flag
from tracer.node.health import HealthAnswer
from tracer.node.model import InterfaceAddress, NodeState, VirtualServer
from tracer.pipeline import Pipeline
from tracer.view import Page, Sheet, Tone, View, ViewQuery
from tracer.view.servers import servers_of


def shown(pipeline: Pipeline, **query) -> Sheet:
    return View().answer(pipeline, ViewQuery(page=Page.SERVICES, **query)).sheet


def column(sheet: Sheet, title: str) -> list[str]:
    place = [heading.title for heading in sheet.headings].index(title)
    return [row[place] for row in sheet.cells]


def selected(pipeline: Pipeline, position: int):
    view, page = View(), Page.SERVICES
    row = view.answer(pipeline, ViewQuery(page=page)).sheet.ids[position]
    detail = view.answer(pipeline, ViewQuery(page=page, row=row)).detail
    assert detail is not None
    assert detail.id == row
    return detail


def with_endpoints(*endpoints: Endpoint, **service) -> Pipeline:
    known = cluster()
    changed = replace(known.services[0], **service)
    return traced(known.successor(services=(changed,), endpoints=(*known.endpoints, *endpoints)))


def endpoint(ip: str, **conditions) -> Endpoint:
    return Endpoint("shop/web", "http", 6, parse(ip), 8080, "worker-2", "shop/other", **conditions)


def test_a_service_without_traffic_is_there_with_its_endpoints():
    sheet = shown(traced())
    assert column(sheet, "Service / backend") == ["shop/web:http", "  web-1"]
    assert column(sheet, "Condition") == ["1 of 1 ready", "ready"]
    assert column(sheet, "Flows") == ["", ""]


def answered(status: int, count: int = -1, why: str = "") -> tuple[str, Tone, str]:
    """(health, tone, detail) of a load balancer's line on a node that answers so."""
    port, ip = 32000, parse("10.0.0.9")
    pipeline = with_endpoints(
        endpoint("10.244.2.9"),
        type="LoadBalancer",
        load_balancer_ips=(ip,),
        health_check_node_port=port,
    )
    told = HealthAnswer("shop/web", port, parse("10.0.0.1"), status, count, why)
    node = replace(pipeline.node, health_answers=(told,), node_name="worker-2")
    pipeline.set_node(replace(node, known=node.known | {"node_name"}), at(1))
    sheet = shown(pipeline)
    place = column(sheet, "Kind").index("LoadBalancer")
    facts = dict(selected(pipeline, place).facts)
    assert column(sheet, "Condition")[place] == "2 of 2 ready"
    return column(sheet, "Health")[place], sheet.tones[place], facts["Health check port"]


@pytest.mark.parametrize(
    ("answer", "health", "tone"),
    [
        ((200, 1), "200: 1 here", Tone.HEAD),
        ((200, 0), "200: 0 here, slices have 1", Tone.WARN),
        ((503, 1), "503: 1 here, kube-proxy is not healthy", Tone.WARN),
        ((200,), "200", Tone.WARN),
        ((0, -1, "refused"), "refused", Tone.WARN),
    ],
)
def test_what_load_balancers_hear_of_this_node_stands_beside_the_endpoints(answer, health, tone):
    assert answered(*answer) == (health, tone, f"32000 answers {health}")


def test_the_health_check_concerns_those_from_outside_only():
    pipeline = with_endpoints(type="LoadBalancer", health_check_node_port=32000)
    assert column(shown(pipeline), "Health")[0] == ""
    assert dict(selected(pipeline, 0).facts)["Health check port"] == "32000"


def test_load_is_told_of_the_virtual_server_and_of_each_backend():
    pipeline = with_endpoints(endpoint("10.244.2.9"))
    connect(pipeline, 1.0, count=3)
    other = mapping(1.5, "10.244.3.8:9", "10.96.0.10:80", "10.244.2.9:8080", flags=Flag.DST_NAT)
    pipeline.feed(batch(other, until=2.0))
    answer(pipeline, 2.0)
    sheet = shown(pipeline)
    assert column(sheet, "Flows") == ["4", "3", "1"]
    assert column(sheet, "New/s") == ["4.0", "3.0", "1.0"]
    assert [share.split()[-1] for share in column(sheet, "Share")[1:]] == ["75%", "25%"]
    assert column(sheet, "Address")[0] == "10.96.0.10:80/tcp"


def test_failed_flows_mark_the_backend_and_the_service():
    pipeline = traced()
    connect(pipeline, 1.0, count=2)
    refuse(pipeline, 1.5)
    sheet = shown(pipeline)
    assert column(sheet, "Bad") == ["1", "1"]
    assert sheet.tones == (Tone.BAD, Tone.BAD)


def test_conditions_are_those_of_the_slices():
    dying = endpoint("10.244.2.9", ready=False, serving=True, terminating=True)
    sheet = shown(with_endpoints(dying, endpoint("10.244.2.10", ready=False, serving=False)))
    assert column(sheet, "Condition") == [
        "1 of 3 ready",
        "ready",
        "serving, terminating",
        "not ready",
    ]


def test_a_backend_that_no_slice_names_stands_out():
    pipeline = traced()
    gone = mapping(1.0, "10.244.3.8:9", "10.96.0.10:80", "10.244.7.7:8080", flags=Flag.DST_NAT)
    pipeline.feed(batch(gone, until=2.0))
    sheet = shown(pipeline)
    assert column(sheet, "Condition")[1] == "not in any slice"
    assert sheet.tones[1] == Tone.BAD


def test_a_service_nobody_can_serve_is_a_warning():
    pipeline = traced(cluster().successor(endpoints=()))
    sheet = shown(pipeline)
    assert column(sheet, "Condition") == ["no usable endpoint"]
    assert sheet.tones == (Tone.WARN,)


def test_weights_and_scheduler_come_from_ipvs():
    pipeline = traced()
    backends = ((parse("10.244.1.5"), 8080, 0), (parse("10.244.9.9"), 8080, 1))
    server = VirtualServer(6, parse("10.96.0.10"), 80, "wrr", backends)
    pipeline.set_node(NodeState(virtual_servers=(server,), known=frozenset()), at(1))
    sheet = shown(pipeline)
    assert column(sheet, "Weight") == ["wrr", "0", "1"]
    assert column(sheet, "Condition")[2] == "not in any slice"


def test_a_node_port_is_one_virtual_server_whatever_the_node():
    service = Service("shop", "web", "NodePort", (ServicePort("http", 6, 80, "x", 30080),))
    node = NodeState(
        addresses=(InterfaceAddress("eth0", parse("192.168.1.3"), 24),),
        virtual_servers=(VirtualServer(6, parse("192.168.1.3"), 30080, "rr"),),
    )
    (server,) = servers_of(cluster().successor(services=(service,)), node).values()
    assert (server.text, server.scheduler) == ("*:30080/tcp", "rr")


def test_a_virtual_server_of_no_service_is_shown_by_its_address():
    node = NodeState(virtual_servers=(VirtualServer(17, parse("10.9.9.9"), 53, "rr"),))
    servers = servers_of(cluster().successor(services=()), node)
    assert [server.name for server in servers.values()] == ["10.9.9.9:53/udp"]


def test_a_filter_leaves_only_what_passes():
    pipeline = traced()
    connect(pipeline, 1.0, count=5)
    assert column(shown(pipeline, filter="port=40001"), "Flows") == ["1", "1"]
    assert shown(pipeline, filter="port=7").count == 0


def test_the_selected_service_is_described():
    pipeline = with_endpoints(affinity_seconds=10800, internal_policy="Local")
    facts = dict(selected(pipeline, 0).facts)
    assert facts["Affinity"] == "ClientIP, 10800 s"
    assert facts["Internal policy"] == "Local"
    assert "shop/web-1 on worker-1" in facts["Endpoint"]


def test_the_selected_backend_is_described():
    detail = selected(traced(), 1)
    facts = dict(detail.facts)
    assert detail.title == "10.244.1.5:8080"
    assert (facts["Pod"], facts["Node"], facts["Condition"]) == ("shop/web-1", "worker-1", "ready")


def test_how_far_the_kernel_kept_behind_the_api_is_told_where_it_was_watched():
    known = cluster()
    joined = ClusterChange(at(1), Turn.JOINED, "shop/web", known.endpoints[0])
    pipeline = traced(known.successor(changes=(joined,)))
    connect(pipeline, 1.25)
    facts = dict(selected(pipeline, 0).facts)
    assert facts["Behind the API, joined"] == "250 ms at most, 1 changes"


def test_findings_about_a_service_stand_with_it():
    pipeline = traced()
    pipeline._diagnosis.ledger.absorb_state([blackhole("shop/web")], at(1))
    assert selected(pipeline, 0).findings[0].subject.service == "shop/web"


def test_hostile_names_are_only_text():
    for name in HOSTILE.values():
        sheet = shown(traced(cluster(pod=name)))
        assert all(cell.isprintable() for row in sheet.cells for cell in row)


def test_packets_and_bytes_are_those_of_all_its_flows():
    pipeline = traced()
    connect(pipeline, 1.0, count=2)
    table = pipeline.table
    rows = table.alive()
    table.flows["packets"][rows] = [[3, 2], [4, 1]]
    table.flows["bytes"][rows] = [[300, 20_000], [400, 0]]
    sheet = View().answer(pipeline, ViewQuery(page=Page.SERVICES)).sheet
    titles = [heading.title for heading in sheet.headings]
    for cells in sheet.cells[:2]:
        assert cells[titles.index("Packets")] == "7/3"
        assert cells[titles.index("Bytes")] == "700/20.0k"
