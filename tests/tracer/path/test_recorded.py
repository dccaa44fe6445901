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
ELSEWHERE = {"etp-local-ipvs-wrong-source", "refused-by-backend", "endpoint-removal-lag"}
"""What was lost there was lost after it had left the node."""
VERDICTS = {"refused": "rejected", "timeout": "dropped"}


def at(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


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
        answered = [row for row in rows if not row["failure"]]
        if answered:
            assert (path.verdict, path.unknown) == ("delivered", ()), (client, to)
            sources = {address.text(c.source) if c.source else client for c in path.choices}
            assert {row["seen_ip"] for row in answered} <= sources
            assert len({row["answered_by"] for row in answered}) <= len(path.choices)
        elif name not in ELSEWHERE:
            assert path.verdict == VERDICTS[rows[0]["failure"]], (client, to, path.unknown)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("ipvs-external-ip-is-node-ip", "ipvs-external-ip-is-node-ip"),
        ("no-local-endpoint-drop", "no-local-endpoint-drop"),
        ("svc-no-endpoints", "svc-no-endpoints"),
        ("svc-no-endpoints-iptables", "svc-no-endpoints"),
        ("svc-no-endpoints-nftables", "svc-no-endpoints"),
    ],
)
def test_the_cause_is_named_from_the_state_alone(name, cause):
    for (client, to), rows in connections(name).items():
        packet = packet_of(at(client, rows[0]["client_port"]), to)
        assert explain(*folder(name), packet).path.cause == cause
