"""A pod's spec becomes what its container finds around itself."""

from __future__ import annotations

import pytest

from lab.real.debug_pod import launcher
from tracer.errors import UnableError

SPEC = {
    "hostNetwork": True,
    "nodeName": "worker-1",
    "volumes": [{"name": "host-root", "hostPath": {"path": "/"}}],
    "containers": [
        {
            "volumeMounts": [{"name": "host-root", "mountPath": "/host"}],
            "env": [
                {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "WORD", "value": "two words"},
            ],
        }
    ],
}


def script(**changes):
    return launcher({**SPEC, **changes}, "lab-worker-1", {"/etc/kubernetes/k.conf": "a 'b'"})[-2]


def test_the_nodes_files_names_and_variables_are_the_pods():
    told = script()
    assert "mount --rbind /run/viptrace-pod/node/ /run/viptrace-pod/pod/host" in told
    assert "hostname worker-1" in told
    assert "NODE_NAME=worker-1 'WORD=two words'" in told
    assert "printf %s 'a '\"'\"'b'\"'\"'' >/run/viptrace-pod/node/etc/kubernetes/k.conf" in told
    assert launcher(SPEC, "lab-worker-1", {})[:4] == ("ip", "netns", "exec", "lab-worker-1")


def test_what_the_lab_cannot_give_is_said():
    with pytest.raises(UnableError, match="network of its own"):
        script(hostNetwork=False)
    with pytest.raises(UnableError, match="volume host-root"):
        script(volumes=[{"name": "host-root", "emptyDir": {}}])
