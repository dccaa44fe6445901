"""Live: the fault, the finding, its remedy typed as printed, the traffic well, the finding closed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.objects import dump, read
from lab.remedy import commands, kubectl, mend
from lab.scenario import drive_all
from lab.scenarios import BY_NAME
from lab.suite import wait_for_finding
from lab.topology import Topology
from lab.tracing import Tracing

CLOSES = {
    "ip-forward-off": True,
    "stale-udp-conntrack": True,
    "forward-policy-drop": True,
    "iptables-backend-mix": True,
    "stale-rules-mode-switch": True,
    "bridge-nf-call-off": True,
    "bridge-hairpin-mode-off": False,
    "stale-tcp-sctp-conntrack": True,
    "mtu-blackhole": False,
    "conntrack-invalid-rst": True,
    "hairpin-no-masquerade": False,
    "masquerade-missing": False,
    "no-local-endpoint-drop": False,
    "lb-source-ranges-drop": False,
    "external-ip-hijack": False,
}
"""Whether the finding closes with the remedy itself, or only when nothing fails for a while."""


@pytest.mark.root
@pytest.mark.parametrize("name", CLOSES)
def test_the_remedy_mends_it_as_printed(name, tmp_path: Path):
    scenario = BY_NAME[name]
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(dump(scenario.change(read(scenario.cluster))))
    with Topology(scenario.programmed(), f"labr{os.getpid()}") as topology:
        topology.keep_entries(scenario.node)
        scenario.prepare(topology)
        namespace = topology.namespace(scenario.node)
        naming = ("--cluster", str(cluster))
        with Tracing(namespace, tmp_path, naming, scenario.node, "conntrack") as tracing:
            drive_all(topology, scenario.traffic)
            found = wait_for_finding(tracing, name, "open")
            typed = mend(topology, scenario, found["remedy"], scenario.healed)
            assert typed
            if CLOSES[name]:
                wait_for_finding(tracing, name, "closed")
            tracing.stop()


def test_only_what_can_be_typed_is_typed():
    remedy = (
        "sysctl -w net.ipv4.ip_forward=1   # at once",
        "Keep it so: a file in /etc/sysctl.d",
        "kubectl get pods",
        "ip route add default via <gateway>",
        "conntrack -D -p udp --orig-dst 10.96.0.10",
        "Keep the address: kubectl patch service echo -n default -p '{}'",
        "kubectl -n kube-system rollout restart daemonset kube-proxy   # writes all rules again",
    )
    assert commands(remedy) == [
        "sysctl -w net.ipv4.ip_forward=1",
        "conntrack -D -p udp --orig-dst 10.96.0.10",
        "kubectl patch service echo -n default -p '{}'",
        "kubectl -n kube-system rollout restart daemonset kube-proxy",
    ]


def spec_of(objects, name):
    return next(
        o["spec"] for o in objects if o["kind"] == "Service" and name == o["metadata"]["name"]
    )


def test_a_patch_changes_what_it_names_and_a_restart_nothing():
    objects = read("default")
    merged = kubectl(
        'kubectl patch service echo-local -n default -p \'{"spec":{"externalTrafficPolicy":"Cluster"}}\'',
        objects,
    )
    assert spec_of(merged, "echo-local")["externalTrafficPolicy"] == "Cluster"
    assert spec_of(objects, "echo-local")["externalTrafficPolicy"] == "Local"
    removal = '[{"op":"remove","path":"/spec/externalIPs"}]'
    removed = kubectl(
        f"kubectl patch service echo-external -n default --type=json -p '{removal}'", objects
    )
    assert "externalIPs" in spec_of(objects, "echo-external")
    assert "externalIPs" not in spec_of(removed, "echo-external")
    restart = "kubectl -n kube-system rollout restart daemonset kube-proxy"
    assert kubectl(restart, objects) == objects
