"""The watch against a real API server: rights as they are shipped, a crash, a forgotten version."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab.objects import read, to_cluster, without_pod
from lab.real.access import ADMIN, KUBELET, READER
from lab.real.api import Api
from lab.real.control_plane import ControlPlane
from lab.real.keeper import Keeper
from lab.real.suite import why_skipped
from tracer.cluster.model import Cluster
from tracer.cluster.watch import Choice, ClusterWatch

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
NODE = "worker-1"
PATIENCE_S = 180.0
WHOLE = read("default")
FEWER = without_pod("default", "echo-3")(WHOLE)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    why = why_skipped(())
    if why:
        pytest.skip(why)
    made = ControlPlane(tmp_path_factory.mktemp("plane"), lambda text: None)
    with made:
        yield made


@pytest.fixture(scope="module")
def keeper(plane):
    made = Keeper(Api(plane.access, ADMIN))
    made.put(to_cluster(WHOLE))
    return made


@pytest.fixture
def watch(plane, tmp_path):
    opened = []

    def start(user: str, called: str = "") -> ClusterWatch:
        choice = Choice(plane.access.kubeconfig(user, tmp_path), called=called)
        made = ClusterWatch(choice, lambda cluster: NODE if cluster.nodes else "")
        opened.append(made)
        assert made.open()
        return made

    yield start
    for made in opened:
        made.close()


def until(watch: ClusterWatch, wanted: Callable[[Cluster], object]) -> Cluster:
    deadline = time.monotonic() + PATIENCE_S
    while not wanted(watch.latest):
        watch.poll(0.2)
        assert time.monotonic() < deadline, [str(problem) for problem in watch.problems()]
    return watch.latest


def pods_behind(cluster: Cluster) -> set[str]:
    return {endpoint.pod for endpoint in cluster.usable_endpoints("default/echo")}


def test_the_rights_that_are_shipped_are_enough(keeper, watch):
    reader = watch(READER)
    cluster = until(reader, lambda cluster: len(cluster.known) == 4)
    assert reader.problems() == []
    expected = to_cluster(WHOLE)
    assert set(cluster.nodes) == set(expected.nodes)
    assert {pod.key for pod in cluster.pods} == {
        pod.key for pod in expected.pods if pod.node == NODE
    }
    assert set(expected.services_by_key) <= set(cluster.services_by_key)
    echo, wanted = (one.services_by_key["default/echo-balancer"] for one in (cluster, expected))
    assert echo.load_balancer_ips == wanted.load_balancer_ips
    assert echo.external_policy == wanted.external_policy
    assert pods_behind(cluster) == pods_behind(expected)


def test_a_kubelets_own_configuration_names_its_node_its_pods_and_services(keeper, watch):
    kubelet = watch(KUBELET.format(node=NODE), called=NODE)
    cluster = until(kubelet, lambda cluster: {"services", "pods"} <= cluster.known)
    assert [node.name for node in cluster.nodes] == [NODE]
    assert {pod.node for pod in cluster.pods} == {NODE}
    assert "default/echo" in cluster.services_by_key
    assert "endpoints" not in cluster.known
    assert any("endpointslices" in str(problem) for problem in kubelet.problems())


def test_names_outlive_a_crash_and_changes_come_after_it(keeper, plane, watch):
    admin = watch(ADMIN)
    until(admin, lambda cluster: len(cluster.known) == 4)
    plane.kill_server()
    deadline = time.monotonic() + PATIENCE_S
    while not admin.problems():
        admin.poll(0.2)
        assert time.monotonic() < deadline
    assert "not heard of" in str(admin.problems()[0])
    assert "default/echo" in admin.latest.services_by_key
    plane.start_server()
    keeper.put(to_cluster(FEWER))
    cluster = until(admin, lambda cluster: "default/echo-3" not in pods_behind(cluster))
    assert {change.endpoint.pod for change in cluster.changes if change.endpoint} == {
        "default/echo-3"
    }


def test_a_version_that_etcd_has_forgotten_means_listing_again(keeper, plane, watch):
    keeper.put(to_cluster(FEWER))
    admin = watch(ADMIN)
    until(admin, lambda cluster: len(cluster.known) == 4)
    plane.kill_server()
    plane.compact()
    plane.start_server()
    keeper.put(to_cluster(WHOLE))
    until(admin, lambda cluster: "default/echo-3" in pods_behind(cluster))
    assert pods_behind(admin.latest) == pods_behind(to_cluster(WHOLE))
