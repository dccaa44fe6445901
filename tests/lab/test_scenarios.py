"""The table of scenarios is sound: files parse, places exist, causes are known."""

from __future__ import annotations

import pytest

from lab import scenarios
from lab.objects import dump, read, to_cluster
from lab.scenarios import BY_NAME, SCENARIOS, chosen, left_out
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


def test_all_is_what_this_kernel_can_run_and_the_rest_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(scenarios, "IPVS", tmp_path / "missing")
    rest = left_out(("all",))
    assert [item.name for item in rest] == [s.name for s in SCENARIOS if s.kernel_only]
    assert not any(item.kernel_only for item in chosen(("all",)))
    assert {item.name for item in (*chosen(("all",)), *rest)} == set(BY_NAME)
    assert chosen(("vm",)) == rest
    assert left_out(("kube-ipvs0",)) == []
    monkeypatch.setattr(scenarios, "IPVS", tmp_path)
    assert (chosen(("all",)), left_out(("all",))) == (list(SCENARIOS), [])
