"""Causes found live on this machine's kernel, without probes, and closed by their remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.objects import dump, read
from lab.scenario import drive_all
from lab.scenarios import BY_NAME
from lab.suite import wait_for_finding
from lab.topology import Topology
from lab.tracing import Tracing

pytestmark = pytest.mark.root

MENDED = ["ip-forward-off", "stale-udp-conntrack"]
"""Their findings close with the remedy itself; those of others when nothing fails for a while."""
SEEN = [
    "wrong-target-port",
    "vip-port-not-served",
    "unserved-vip-routing-loop",
    "lb-source-ranges-drop",
    "nodeport-localhost",
    "hairpin-no-masquerade",
    "masquerade-missing",
    "endpoint-unreachable-underlay",
    "forward-policy-drop",
    "no-default-route",
    "iptables-backend-mix",
]


@pytest.mark.parametrize("name", MENDED + SEEN)
def test_a_cause_is_named_live_and_nothing_else(name, tmp_path: Path):
    scenario = BY_NAME[name]
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(dump(scenario.change(read(scenario.cluster))))
    with Topology(scenario.programmed(), f"labc{os.getpid()}") as topology:
        scenario.prepare(topology)
        namespace = topology.namespace(scenario.node)
        naming = topology.proxies.naming(cluster)
        with Tracing(namespace, tmp_path, naming, scenario.node, "conntrack") as tracing:
            drive_all(topology, scenario.traffic)
            wait_for_finding(tracing, name, "open")
            scenario.heal(topology)
            if name in MENDED:
                wait_for_finding(tracing, name, "closed")
            tracing.stop()
            findings = [line for line in tracing.lines() if line["type"] == "finding"]
    superseded = {line["cause"] for line in findings if line["status"] == "closed"}
    assert {line["cause"] for line in findings} - superseded - {name} == set()
