"""Where a configuration is looked for, in file systems made for it."""

from pathlib import Path

import pytest

from tracer.cluster.api.credentials import Candidate, candidates, kubeconfig, within
from tracer.errors import InputError

KUBELET = """
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443", certificate-authority: /pki/ca}}]
users: [{name: u, user: {client-certificate: pki/current.pem, client-key: pki/current.pem}}]
"""


def lay(root, path, text="x"):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root / path


def labels(root, **environment):
    environment.setdefault("HOME", str(root / "root"))
    return [one.label for one in candidates(None, root, environment)]


def test_nothing_is_a_possibility(tmp_path):
    assert labels(tmp_path) == []


def test_what_was_named_is_all_there_is(tmp_path):
    lay(tmp_path, "root/.kube/config")
    (only,) = candidates(Path("mine"), tmp_path, {"HOME": str(tmp_path / "root")})
    assert only.path == Path("mine")


def test_the_kubelets_own_is_the_last_resort(tmp_path):
    named = lay(tmp_path, "named")
    home = lay(tmp_path, "root/.kube/config")
    lay(tmp_path, "var/run/secrets/kubernetes.io/serviceaccount/token")
    kubelet = lay(tmp_path, "host/etc/kubernetes/kubelet.conf")
    found = labels(tmp_path, KUBECONFIG=f"/not/there:{named}", KUBERNETES_SERVICE_HOST="10.96.0.1")
    assert found == [
        f"KUBECONFIG {named}",
        "the pod's service account",
        str(home),
        f"the kubelet's {kubelet}",
    ]


def test_a_token_without_a_server_is_no_service_account(tmp_path):
    lay(tmp_path, "var/run/secrets/kubernetes.io/serviceaccount/token")
    assert labels(tmp_path) == []


def test_files_of_a_mounted_node_are_found_through_its_links(tmp_path):
    host = tmp_path / "host"
    path = lay(host, "etc/kubernetes/kubelet.conf", KUBELET)
    lay(host, "var/lib/kubelet/pki/client-2026.pem")
    (host / "etc/kubernetes/pki").symlink_to("/var/lib/kubelet/pki")
    (host / "var/lib/kubelet/pki/current.pem").symlink_to("/var/lib/kubelet/pki/client-2026.pem")
    read = kubeconfig(Candidate("kubelet", path, host))
    user, server = read["users"][0]["user"], read["clusters"][0]["cluster"]
    assert user["client-key"] == str(host / "var/lib/kubelet/pki/client-2026.pem")
    assert server["certificate-authority"] == str(host / "pki/ca")


def test_links_lead_nowhere_outside_and_not_for_ever(tmp_path):
    (tmp_path / "up").symlink_to("../../../etc/shadow")
    (tmp_path / "loop").symlink_to("loop")
    assert within(tmp_path, tmp_path / "up") == tmp_path / "etc/shadow"
    assert within(tmp_path, tmp_path / "loop").is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "clusters: 7", "a: [", "\x00", "clusters: [7]\nusers: {"]
)
def test_what_is_no_kubeconfig_is_said(tmp_path, text):
    with pytest.raises(InputError, match="Cannot use the kubeconfig"):
        kubeconfig(Candidate("bad", lay(tmp_path, "bad", text)))
