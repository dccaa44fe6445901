from dataclasses import replace

import numpy as np
import pytest

from tests.builders import packet
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    HERE,
    MASTER_1,
    MASTER_2,
    POD_HERE,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    node_state,
    service,
    translated,
)
from tracer.address import parse
from tracer.diagnosis import places
from tracer.node.model import NodeState

KNOWN = cluster(service(), endpoints=[HERE, THERE])


def forwarded(record, node):
    story = Story(KNOWN, node)
    story.tell(record)
    scene = story.pipeline._scene()
    return bool(places.forwarded(scene, np.flatnonzero(scene.table.flows["alive"]))[0])


@pytest.mark.parametrize(
    ("record", "passes"),
    [
        (packet(1, f"{CLIENT_POD}:1", f"{VIP}:80", "S"), True),
        (packet(1, f"{CLIENT}:1", f"{MASTER_1}:22", "S"), False),
        (packet(1, f"{MASTER_1}:1", f"{VIP}:80", "S"), False),
        (translated(1, f"{CLIENT}:1", f"{MASTER_1}:30080", f"{POD_HERE}:8080"), True),
        (translated(1, f"{CLIENT}:1", f"{VIP}:80", f"{MASTER_1}:6443"), False),
    ],
    ids=["pod to VIP", "to the node", "from the node", "NodePort to a pod", "VIP to the node"],
)
def test_what_the_node_passes_on(record, passes):
    assert forwarded(record, node_state()) is passes


def test_an_address_on_kube_ipvs0_is_delivered_here():
    assert not forwarded(packet(1, f"{CLIENT_POD}:1", f"{VIP}:80", "S"), node_state(VIP))


def test_without_the_nodes_addresses_nothing_is_known_to_be_forwarded():
    assert not forwarded(packet(1, f"{CLIENT_POD}:1", f"{VIP}:80", "S"), NodeState())


def test_addresses_on_other_nodes():
    scene = Story(KNOWN, node_state()).pipeline._scene()
    asked = [parse(ip) for ip in (POD_HERE, POD_THERE, CLIENT)]
    assert places.on_other_node(scene, asked, "master-1") == {parse(POD_THERE)}


def test_what_belongs_to_the_cluster():
    nodes = tuple(replace(node, pod_cidrs=("10.10.0.0/16",)) for node in KNOWN.nodes)
    known = replace(KNOWN, nodes=nodes)
    for ip in (MASTER_2, CLIENT_POD, "10.10.77.7"):
        assert places.of_cluster(known, parse(ip))
    assert not places.of_cluster(known, parse(CLIENT))


def test_a_bad_network_holds_nothing():
    assert not places.within(parse(CLIENT), ["none", "", "fd00::/8"])
    assert places.within(parse(CLIENT), ["none", "192.168.50.7/24"])
