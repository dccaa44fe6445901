from dataclasses import replace

import pytest

from tests.builders import packet
from tests.tracer.diagnosis.story import CLIENT, MASTER_1, VIP, Story, cluster, node_state, service
from tracer.address import parse
from tracer.cluster.model import Cluster, HostPort, Pod, ServiceKind
from tracer.diagnosis.subjects import by_destination, concerning, this_node
from tracer.node.model import NodeState


def scene_of(story):
    return story.pipeline._scene()


def groups(known, *destinations):
    story = Story(known, node_state())
    asked = [
        packet(1 + number, f"{CLIENT}:{5000 + number}", destination, "S")
        for number, destination in enumerate(destinations)
    ]
    story.tell(*asked)
    scene = scene_of(story)
    return scene, list(by_destination(scene, story.pipeline.table.alive()))


def test_flows_are_grouped_by_service_and_address():
    scene, found = groups(
        cluster(service()),
        f"{VIP}:80",
        f"{MASTER_1}:30080",
        f"{VIP}:80",
        "9.9.9.9:53",
        "9.9.9.9:54",
    )
    told = {(group.name, len(group.rows)) for group in found}
    assert told == {
        (f"Service default/web ({VIP}:80)", 2),
        (f"Service default/web ({MASTER_1}:30080)", 1),
        ("9.9.9.9:53", 1),
        ("9.9.9.9:54", 1),
    }
    subjects = {(g.subject(scene).service, g.subject(scene).address) for g in found}
    assert subjects == {("default/web", None), (None, parse("9.9.9.9"))}


def test_a_host_port_is_no_service_even_of_the_same_name():
    port = HostPort(6, 8081, 80)
    pod = Pod("default", "web", "master-1", (parse("10.10.1.3"),), host_ports=(port,))
    scene, (group,) = groups(cluster(service(), pods=[pod]), f"{MASTER_1}:8081")
    assert group.hit.kind == ServiceKind.HOST_PORT
    assert group.service(scene) is None
    assert group.subject(scene).service is None
    assert group.name == f"the host port of pod default/web ({MASTER_1}:8081)"


def test_a_host_port_taken_on_one_address_is_asked_for_there_only():
    port = HostPort(6, 8081, 80, parse(MASTER_1))
    pod = Pod("default", "web", "master-1", (parse("10.10.1.3"),), host_ports=(port,))
    _, found = groups(cluster(service(), pods=[pod]), f"{MASTER_1}:8081", "10.10.1.1:8081")
    assert {group.name for group in found} == {
        f"the host port of pod default/web ({MASTER_1}:8081)",
        "10.10.1.1:8081",
    }


def test_no_rows_make_no_groups():
    _, found = groups(cluster(service()))
    assert found == []


def test_strangers_concern_us_only_where_no_cluster_is_known():
    for known, concern in ((Cluster(), True), (cluster(service()), False)):
        story = Story(known, node_state())
        story.tell(packet(1, "198.51.100.1:1", "203.0.113.9:443", "S"))
        rows = story.pipeline.table.alive()
        assert concerning(scene_of(story), rows).tolist() == [concern]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (node_state(name="given"), "given"),
        (node_state(name="", ip=MASTER_1), "master-1"),
        (node_state(name="", ip="198.51.100.1"), ""),
        (NodeState(), ""),
    ],
)
def test_this_node_is_known_by_name_or_by_address(node, name):
    story = Story(cluster(), node)
    assert this_node(replace(scene_of(story), node=node)) == name
