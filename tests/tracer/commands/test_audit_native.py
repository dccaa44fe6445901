"""Audits of a live node of the lab: what its own tools list is what is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.objects import dump, read
from lab.scenarios import BY_NAME
from lab.topology import Topology

pytestmark = pytest.mark.root

NODE = "worker-1"


def audit(namespace: str, cluster: Path, *words: str) -> list[dict]:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tracer", "audit"]
    options = ["--cluster", str(cluster), "--node", NODE, "--json", *words]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_live_node_is_in_order_until_its_rules_are_flushed(tmp_path: Path):
    scenario = BY_NAME["cluster-ip-keeps-source"]
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(dump(read(scenario.cluster)))
    with Topology(scenario.programmed(), f"laba{os.getpid()}") as topology:
        scenario.prepare(topology)
        namespace = topology.namespace(NODE)
        *found, summary = audit(namespace, cluster)
        assert {f["cause"] for f in found if f["severity"] != "info"} == {"svc-no-endpoints"}
        assert summary["mode"] == "iptables"
        assert any(name.endswith(" nat") for name in summary["sizes"])
        flush = "iptables-nft -t nat -F KUBE-SERVICES"
        subprocess.run(["ip", "netns", "exec", namespace, *flush.split()], check=True)
        *found, summary = audit(namespace, cluster)
        assert found[0]["cause"] == "rules-not-synced"
        assert found[0]["severity"] == "critical"
