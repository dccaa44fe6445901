"""Cluster objects seen from one node."""

from __future__ import annotations

from lab.objects import read, to_cluster, without_pod
from lab.rules.plan import node_plan, port_plans

DEFAULT = to_cluster(read("default"))


def test_both_families_are_planned_apart():
    four = port_plans(DEFAULT, "worker-1", ipv6=False)
    six = port_plans(DEFAULT, "worker-1", ipv6=True)
    assert {plan.label for plan in four} == {plan.label for plan in six}
    assert all(":" not in target.ip for plan in four for target in plan.targets)
    assert all(":" in target.ip for plan in six for target in plan.targets)


def test_an_endpoint_is_local_by_its_node_name():
    (web,) = (
        plan
        for plan in port_plans(DEFAULT, "worker-1", ipv6=False)
        if plan.label == "default/echo:web"
    )
    assert [target.ip for target in web.local_targets] == ["10.244.1.11"]
    assert len(web.targets) == 3


def test_all_pod_ranges_become_one():
    assert node_plan(DEFAULT, "worker-1", ipv6=False).pod_ranges == ("10.244.0.0/22",)


def test_a_deleted_pod_is_gone_from_every_service():
    fewer = to_cluster(without_pod("default", "echo-3")(read("default")))
    assert all(item.pod != "default/echo-3" for item in fewer.endpoints)
    assert len(fewer.pods) == len(DEFAULT.pods) - 1
