"""Who shows what to the lab's API server."""

from __future__ import annotations

import base64
import stat

import yaml

from lab.real.access import PROXY, Access, load

ACCESS = Access(4711, "-----BEGIN CERTIFICATE-----\n", "secret")


def test_a_kubeconfig_names_server_authority_and_token(tmp_path):
    path = ACCESS.from_guest().kubeconfig(PROXY, tmp_path)
    document = yaml.safe_load(path.read_text())
    cluster = document["clusters"][0]["cluster"]
    assert cluster["server"] == "https://10.0.2.2:4711"
    assert base64.b64decode(cluster["certificate-authority-data"]).decode() == ACCESS.certificate
    assert document["users"][0]["user"] == {"token": "secret-system-kube-proxy"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_node_finds_it_on_its_own_loopback():
    assert ACCESS.inside_node().url == "https://127.0.0.1:16443"


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "access.json"
    ACCESS.save(path)
    assert load(path) == ACCESS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
