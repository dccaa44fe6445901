"""The cluster's objects where there is no kubectl."""

from __future__ import annotations

import pytest

from tests.api_server import ApiServer
from tests.tracer.cluster.api.made import kubeconfig, small_cluster
from tracer.cluster.file import load
from tracer.cluster.watch import Choice
from tracer.commands import api_objects
from tracer.commands.api_objects import from_api, write_from_api


@pytest.fixture
def choice(tmp_path):
    server = ApiServer(small_cluster())
    yield Choice(kubeconfig(tmp_path, server.port), called="one")
    server.close()


def test_one_snapshot_of_the_api_server(choice):
    found, why = from_api(choice)
    assert why == ""
    assert found is not None
    assert [service.key for service in found.services] == ["shop/web"]


def test_it_becomes_a_file_like_kubectls(choice, tmp_path, monkeypatch):
    monkeypatch.setattr(api_objects, "from_api", lambda: from_api(choice))
    assert write_from_api(tmp_path) == []
    again = load(tmp_path / "cluster.json")
    assert again.unparsed == ()
    assert [service.key for service in again.services] == ["shop/web"]
    assert again.endpoints


def test_without_any_configuration_it_says_so(tmp_path, monkeypatch):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert from_api(Choice(root=tmp_path)) == (None, "no configuration for an API server was found")


def test_a_configuration_that_does_not_work_says_why(tmp_path):
    found, why = from_api(Choice(tmp_path / "none"))
    assert found is None
    assert "none" in why
