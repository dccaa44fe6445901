"""Where a live run's names come from, and what is said when there are none."""

import pytest

from tests.api_server import ApiServer
from tests.builders import batch
from tests.tracer.cluster.api.made import kubeconfig, small_cluster
from tracer import address
from tracer.cluster.model import Cluster, Node
from tracer.commands import live_cluster
from tracer.commands.live_cluster import Interest, LiveCluster
from tracer.errors import InputError
from tracer.node.collect import Collector
from tracer.pipeline import Pipeline
from tracer.settings import LiveSettings


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(live_cluster, "Choice", lambda *given: Choice(*given, tmp_path))


Choice = live_cluster.Choice


def begun(**settings):
    return LiveCluster(LiveSettings(**settings), Collector("one"))


def test_without_any_configuration_it_says_what_would_help():
    cluster = begun()
    assert (cluster.expected, cluster.readers) == (False, ())
    assert "--kubeconfig FILE or --cluster FILE" in str(cluster.problems()[0])


def test_no_cluster_is_a_choice():
    (problem,) = begun(no_cluster=True).problems()
    assert str(problem) == "no names: --no-cluster"


def test_a_file_is_all_there_is(tmp_path):
    (tmp_path / "cluster.yaml").write_text("kind: Service\nmetadata: {name: web}\n")
    cluster = begun(cluster=tmp_path / "cluster.yaml")
    assert [service.key for service in cluster.first().services] == ["default/web"]
    assert (cluster.readers, cluster.problems()) == ((), [])


def test_the_api_server_that_is_found_is_followed(tmp_path):
    server = ApiServer(small_cluster())
    path = kubeconfig(tmp_path, server.port)
    cluster = begun(kubeconfig=path)
    (reader,) = cluster.readers
    told = next(found for found in iter(lambda: reader.poll(0.1), 7) if found is not None)
    assert cluster.latest() is cluster.first() is told
    assert [service.key for service in told.services] == ["shop/web"]
    cluster.close()
    server.close()


def test_a_kubeconfig_that_is_none_ends_the_run(tmp_path):
    with pytest.raises(InputError):
        begun(kubeconfig=tmp_path / "none")


def test_the_kernel_side_learns_which_addresses_matter():
    told = []
    pipeline = Pipeline()
    interest = Interest(told.append)
    interest.write(pipeline, pipeline.set_cluster(Cluster(known=frozenset()), 1))
    interest.write(pipeline, pipeline.feed(batch(until=1)))
    assert told == []
    known = Cluster(nodes=(Node("one", (address.parse("192.168.1.1"),)),))
    interest.write(pipeline, pipeline.set_cluster(known, 2))
    assert told == [[(address.parse("192.168.1.1"), 128)]]
