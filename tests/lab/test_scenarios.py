"""The table of scenarios is sound: files parse, places exist, causes are known."""

from __future__ import annotations

import pytest

from lab.objects import dump, read, to_cluster
from lab.scenarios import SCENARIOS
from lab.topology import CLIENT, LAN
from tracer.diagnosis.causes import CAUSES_BY_ID


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario):
    cluster = scenario.programmed()
    assert cluster.unparsed == ()
    places = {CLIENT} | {node.name for node in cluster.nodes} | {pod.name for pod in cluster.pods}
    assert scenario.node in {LAN} | {node.name for node in cluster.nodes}
    assert {item.source for item in scenario.traffic} <= places
    assert set(scenario.findings) <= set(CAUSES_BY_ID)
    assert scenario.kernel_only or scenario.mode != "ipvs"


def test_names_are_unique():
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


def test_the_port_forward_cluster_is_the_masters_and_one_service_more():
    masters, claimed = read("masters"), read("port-forward")
    assert claimed[: len(masters)] == masters
    added = [item["kind"] for item in claimed[len(masters) :]]
    assert added == ["Service", "EndpointSlice"]


def test_a_dumped_cluster_reads_as_it_was():
    objects = read("default")
    assert to_cluster(objects).services == to_cluster(read("default")).services
    assert dump(objects).startswith("apiVersion: v1\nkind: List\n")
