"""The walk against what real kernels did: every recorded scenario has its state and its truth."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import pytest

from tracer import address
from tracer.cluster.file import load as load_cluster
from tracer.node.state_dir import load as load_state
from tracer.path.ask import explain, packet_of

PCAPS = Path(__file__).resolve().parents[3] / "pcaps"
SCENARIOS = sorted(path.parent.name for path in PCAPS.glob("*/truth"))
LOST_HERE = {
    "forward-policy-drop": ("dropped", "forward-policy-drop"),
    "ip-forward-off": ("dropped", "ip-forward-off"),
    "ipvs-external-ip-is-node-ip": ("rejected", "ipvs-external-ip-is-node-ip"),
    "lb-source-ranges-drop": ("dropped", "lb-source-ranges-drop"),
    "no-default-route": ("rejected", "no-default-route"),
    "no-local-endpoint-drop": ("dropped", "no-local-endpoint-drop"),
    "svc-no-endpoints": ("rejected", "svc-no-endpoints"),
    "svc-no-endpoints-iptables": ("rejected", "svc-no-endpoints"),
    "svc-no-endpoints-nftables": ("rejected", "svc-no-endpoints"),
}
"""What the state alone explains; elsewhere, what was lost was lost behind the node's rules."""


def at(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def lost_here(name: str, otherwise: tuple) -> tuple:
    """The same whoever wrote the rules."""
    return LOST_HERE.get(name.partition("-kube-proxy-")[0], otherwise)


@lru_cache
def folder(name: str):
    state, _ = load_state(PCAPS / name / "state")
    return state, load_cluster(PCAPS / name / "cluster.yaml")


def connections(name: str) -> dict[tuple, list[dict]]:
    """Attempts by what they went to."""
    found: dict[tuple, list[dict]] = {}
    for line in (PCAPS / name / "truth" / "clients.ndjson").read_text().splitlines():
        row = json.loads(line)
        to = f"{at(row['virtual_ip'], row['virtual_port'])}/{row['protocol']}"
        found.setdefault((row["client_ip"], to), []).append(row)
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_walk_ends_as_the_kernel_did(name):
    for (client, to), rows in connections(name).items():
        path = explain(*folder(name), packet_of(at(client, rows[0]["client_port"]), to)).path
        arrived = [row for row in rows if not row["failure"]]
        answered = [row for row in arrived if row["answered_by"]]
        if arrived:
            assert (path.verdict, path.unknown) == ("delivered", ()), (client, to)
        if answered:
            chosen = [choice.source for choice in path.choices] or [path.source]
            sources = {address.text(source) if source else client for source in chosen}
            assert {row["seen_ip"] for row in answered} <= sources
            assert len({row["answered_by"] for row in answered}) <= len(chosen)
        if not arrived:
            found = (path.verdict, path.cause)
            assert found == lost_here(name, found), (client, to, path.unknown)


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) & set(LOST_HERE)))
def test_the_loss_is_seen(name):
    assert any(row["failure"] for rows in connections(name).values() for row in rows)
