"""Cluster objects seen from one node."""

from __future__ import annotations

from dataclasses import replace

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


def web_of(cluster, service="default/echo"):
    plans = port_plans(cluster, "worker-1", ipv6=False)
    return next(plan for plan in plans if plan.label == f"{service}:web")


def test_an_address_that_the_load_balancer_keeps_is_not_served():
    modes = replace(
        DEFAULT.services_by_key["default/echo-balancer"], load_balancer_modes=("Proxy", "VIP")
    )
    kept = replace(DEFAULT, services=(modes,))
    assert web_of(DEFAULT, "default/echo-balancer").balancer_ips == ("172.18.0.210",)
    assert web_of(kept, "default/echo-balancer").balancer_ips == ()


def test_hints_count_where_all_endpoints_have_them_and_some_are_for_this_zone():
    def hinted(zones):
        nodes = tuple(replace(node, zone="a") for node in DEFAULT.nodes)
        endpoints = tuple(replace(e, zones=zones.get(e.node, ())) for e in DEFAULT.endpoints)
        return replace(DEFAULT, nodes=nodes, endpoints=endpoints)

    assert len(web_of(hinted({"worker-1": ("a",), "worker-2": ("b",)})).targets) == 1
    assert len(web_of(hinted({"worker-1": ("a",)})).targets) == 3
    assert len(web_of(hinted({"worker-1": ("c",), "worker-2": ("b",)})).targets) == 3
