"""Manifests, rights, Events and the plug-in, before a real API server.

No kubelet stands behind it: pods are accepted and bound, and never run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lab.real.access import ADMIN
from lab.real.control_plane import ControlPlane
from lab.real.releases import CURRENT, cached, kubectl
from tests.builders import batch
from tests.tracer.shown import blackhole, traced
from tracer.cluster.api.connection import Connection
from tracer.cluster.api.credentials import Candidate
from tracer.diagnosis.finding import Subject
from tracer.pipeline import Update
from tracer.sinks.kube_events import KubeEvents

ROOT = Path(__file__).resolve().parent.parent.parent
PLUGIN = ROOT / "deploy/plugin/kubectl-viptrace"
ACCOUNT = "system:serviceaccount:viptrace:viptrace"
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-9"}}

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (shutil.which("etcd") and kubectl()) or not cached("kube-apiserver", CURRENT).exists(),
        reason="etcd, kubectl or the lab's kube-apiserver is not here: make test-cluster builds it",
    ),
]


class Cluster:
    """kubectl as an administrator, and what else a test asks."""

    def __init__(self, config: Path) -> None:
        self.config = config
        found = f"{Path(kubectl()).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "KUBECONFIG": str(config), "PATH": found}

    def kubectl(self, *words: str, text: str = "", check: bool = True) -> str:
        done = subprocess.run(
            [kubectl(), *words],
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def pods(self) -> list[dict]:
        return json.loads(self.kubectl("get", "pods", "-n", "viptrace", "-o", "json"))["items"]

    def rights(self) -> dict[str, str]:
        """Verbs by resource that viptrace's account has, beside what everybody has."""
        said = self.kubectl("auth", "can-i", "--list", "--no-headers", "--as", ACCOUNT)
        lines = (line.split("[") for line in said.splitlines() if not line.startswith(" "))
        found = {fields[0].strip(): fields[-1].rstrip("]") for fields in lines}
        return {name: verbs for name, verbs in found.items() if not name.startswith("selfsubject")}

    def token_config(self, folder: Path) -> Path:
        """A kubeconfig of viptrace's own account."""
        path = folder / "account.kubeconfig"
        shutil.copy(self.config, path)
        token = self.kubectl("create", "token", "viptrace", "-n", "viptrace").strip()
        user = json.loads(self.kubectl("config", "view", "-o", "json"))["users"][0]["name"]
        self.kubectl("--kubeconfig", str(path), "config", "set-credentials", user, "--token", token)
        return path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with ControlPlane(folder / "plane", lambda _: None) as access:
        made = Cluster(access.kubeconfig(ADMIN, folder))
        made.kubectl("apply", "-f", "-", text=json.dumps(NODE))
        made.kubectl("apply", "-k", str(ROOT / "deploy"))
        yield made


def until(reached: Callable[[], bool]) -> None:
    for _ in range(1000):
        if reached():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def test_the_manifests_are_taken_as_they_are(cluster):
    said = cluster.kubectl("apply", "-k", str(ROOT / "deploy"), "--dry-run=server")
    assert "daemonset.apps/viptrace unchanged" in said
    assert "viptrace-dashboard created" in cluster.kubectl(
        "apply", "-k", str(ROOT / "deploy/monitoring"), "--dry-run=server"
    )
    pod = (ROOT / "deploy/debug-pod.yaml").read_text().replace("NODE\n", "worker-9\n")
    assert "created" in cluster.kubectl("apply", "--dry-run=server", "-f", "-", text=pod)


def test_the_components_are_taken_too(cluster, tmp_path):
    deploy = Path(shutil.copytree(ROOT / "deploy", tmp_path / "deploy"))
    with (deploy / "kustomization.yaml").open("a") as file:
        file.write("components: [events, perfmon]\n")
    said = cluster.kubectl("apply", "-k", str(deploy), "--dry-run=server")
    assert "daemonset.apps/viptrace configured" in said
    assert "clusterrole.rbac.authorization.k8s.io/viptrace-events created" in said


def test_the_account_reads_four_kinds_and_nothing_else(cluster):
    kinds = ("nodes", "services", "pods", "endpointslices.discovery.k8s.io")
    assert cluster.rights() == dict.fromkeys(kinds, "get list watch")


def test_findings_become_events_with_the_component_s_right_only(cluster, tmp_path):
    config = cluster.token_config(tmp_path)
    with closing(Connection(Candidate("the account", config))) as connection:
        events, pipeline = KubeEvents(lambda: connection), traced()
        service = replace(blackhole(), subject=Subject(service="default/kubernetes"))
        node = replace(blackhole(), subject=Subject(node="worker-9"))
        events.write(pipeline, Update(batch(until=1.0), pipeline.table.alive(), opened=(service,)))
        events.poll(0.1)
        assert "403" in str(events.problems()[0])
        cluster.kubectl("apply", "-f", str(ROOT / "deploy/events/role.yaml"))
        events.write(pipeline, Update(batch(until=2.0), pipeline.table.alive(), opened=(node,)))
        events.poll(0.1)
        assert events.posted == 1
    (event,) = json.loads(cluster.kubectl("get", "events.v1.events.k8s.io", "-o", "json"))["items"]
    assert event["regarding"]["name"] == "worker-9"
    assert event["regarding"]["uid"]
    assert event["reason"] == "IpvsExternalIpIsNodeIp"


def test_a_pod_that_does_not_start_is_removed_again(cluster):
    before = len(cluster.pods())
    command = [str(PLUGIN), "--ready-timeout", "2", "node", "worker-9"]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True)
    assert done.returncode == 3
    assert "not ready after 2 s" in done.stderr
    made = cluster.pods()[before:]
    assert [pod["spec"]["nodeName"] for pod in made] == ["worker-9"]
    assert [pod["spec"]["serviceAccountName"] for pod in made] == ["viptrace"]
    assert all("deletionTimestamp" in pod["metadata"] for pod in made)


def test_interrupted_it_removes_its_pod(cluster):
    before = len(cluster.pods())
    command = [str(PLUGIN), "node", "worker-9"]
    process = subprocess.Popen(
        command,
        env=cluster.environment,
        start_new_session=True,
        # Of a job in the background it is ignored, and a shell cannot trap it then.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: len(cluster.pods()) > before)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert all("deletionTimestamp" in pod["metadata"] for pod in cluster.pods())


def test_what_a_crash_has_left_is_cleaned_up(cluster):
    command = [str(PLUGIN), "node", "worker-9"]
    before = len(cluster.pods())
    process = subprocess.Popen(
        command,
        env=cluster.environment,
        start_new_session=True,
        # Of a job in the background it is ignored, and a shell cannot trap it then.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: len(cluster.pods()) > before)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    subprocess.run([str(PLUGIN), "cleanup"], env=cluster.environment, check=True)
    assert all("deletionTimestamp" in pod["metadata"] for pod in cluster.pods())
