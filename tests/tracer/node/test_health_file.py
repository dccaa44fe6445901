"""A state directory tells what this node answers to load balancers."""

from __future__ import annotations

import json

from tests.tracer.node.test_health_poll import BODY, HERE, http, server
from tracer.node import state_dir
from tracer.node.health_file import write_health


def cluster(port: int) -> str:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            "healthCheckNodePort": port,
        },
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [service]})


def test_every_such_service_is_asked_and_the_answer_is_read_again(tmp_path):
    with server(http("503 Service Unavailable", BODY % 0)) as (port, heard):
        (tmp_path / "cluster.json").write_text(cluster(port))
        assert write_health(tmp_path, lambda known: (HERE,)) == ""
    assert len(heard) == 1
    state, _ = state_dir.load(tmp_path)
    (answer,) = state.health_answers
    assert (answer.service, answer.port, answer.text) == ("shop/web", port, "503: 0 here")


def test_without_such_services_nothing_is_asked_nor_written(tmp_path):
    (tmp_path / "cluster.yaml").write_text("apiVersion: v1\nkind: List\nitems: []\n")
    assert write_health(tmp_path, lambda known: (HERE,)) == ""
    assert not (tmp_path / "health.json").exists()


def test_a_cluster_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "cluster.json").write_text("healthCheckNodePort")
    assert write_health(tmp_path, lambda known: (HERE,)).startswith("health.json: ")
