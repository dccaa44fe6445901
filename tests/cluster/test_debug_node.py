"""Which node it is, in the pod that ``kubectl debug node`` makes, before a real API server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

import pytest

from lab.netns import Child
from lab.objects import read, to_cluster
from lab.options import unique_prefix
from lab.real.access import ADMIN, KUBELET, PORT_IN_NODES
from lab.real.api import Api
from lab.real.control_plane import ControlPlane
from lab.real.debug_pod import launcher
from lab.real.keeper import Keeper
from lab.real.proxies import OUTSIDE
from lab.real.relay import relay
from lab.real.releases import CURRENT, cached, kubectl
from lab.topology import Topology

VIPTRACE = str(Path(sys.executable).with_name("viptrace"))
KUBELET_CONFIG = "/etc/kubernetes/kubelet.conf"
NODES = ("worker-1", "control-plane")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (shutil.which("etcd") and kubectl()) or not cached("kube-apiserver", CURRENT).exists(),
        reason="etcd, kubectl or the lab's kube-apiserver is not here: make test-cluster builds it",
    ),
]


@pytest.fixture(scope="module")
def access(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with ControlPlane(folder / "plane", lambda _: None) as found:
        Keeper(Api(found, ADMIN)).put(to_cluster(read("default")))
        yield found


@pytest.fixture(scope="module")
def nodes(access):
    """The nodes' namespaces, each with its way to the API server."""
    relays = []
    with Topology(to_cluster(read("default")), f"{unique_prefix()}-debug") as topology:
        with OUTSIDE.open("rb") as outside:
            for node in NODES:
                here, there = Pipe(duplex=False)
                way = PORT_IN_NODES, (access.host, access.port), outside.fileno(), there
                relays.append(Child(topology.namespace(node), relay, *way))
                there.close()
                here.recv()
        yield topology
        for child in relays:
            child.stop()


def debugged(access, folder, node):
    """The pod that kubectl makes, as the API server took it."""
    config = access.kubeconfig(ADMIN, folder)
    call = [kubectl(), "--kubeconfig", str(config)]
    wanted = ["--profile=sysadmin", "--image=registry.example/viptrace:1", "--", "viptrace"]
    subprocess.run([*call, "debug", f"node/{node}", *wanted], check=True, capture_output=True)
    told = subprocess.run([*call, "get", "pods", "-o", "json"], check=True, capture_output=True)
    pods = json.loads(told.stdout)["items"]
    (made,) = (p for p in pods if p["metadata"]["name"].startswith(f"node-debugger-{node}-"))
    return made["spec"]


@pytest.mark.parametrize("node", NODES)
def test_the_debug_pod_knows_its_node_by_the_kubelets_own_rights(access, nodes, tmp_path, node):
    spec = debugged(access, tmp_path, node)
    assert spec["containers"][0]["securityContext"]["privileged"]
    inside = access.inside_node().kubeconfig(KUBELET.format(node=node), tmp_path).read_text()
    pod = launcher(spec, nodes.namespace(node), {KUBELET_CONFIG: inside})
    done = subprocess.run(
        [*pod, VIPTRACE, "audit"], capture_output=True, text=True, cwd=os.sep, timeout=300
    )
    assert done.stdout.startswith(f"Audit of node {node} "), done.stderr + done.stdout
    checked = subprocess.run([*pod, VIPTRACE, "check"], capture_output=True, text=True, timeout=300)
    assert KUBELET_CONFIG in checked.stdout
