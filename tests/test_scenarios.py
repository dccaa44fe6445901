"""Every recorded scenario, replayed through the command a user types, without root."""

import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from tracer.cli import run
from tracer.cluster.file import load

PCAPS = Path(__file__).parent.parent / "pcaps"
SCENARIOS = sorted(path.parent for path in PCAPS.glob("*/expected.json"))
SEEDS = {
    "external-ip-hidden-port",
    "ipvs-external-ip-is-node-ip",
    "cluster-ip-keeps-source",
    "dns-lookup",
    "service-two-ports",
    "load-balancer-local",
    "session-affinity-dead-pod",
    "node-port-rewrites-source",
    "no-local-endpoint-drop",
    "node-port-chain-walk",
    "external-ip-iptables",
    "kube-ipvs0",
    "ipvs-round-robin",
}
FALLBACKS = {"dropped-unexplained", "unanswered-unexplained", "refused-by-backend"}
"""What is said of a loss whose cause packets do not show."""


@cache
def replayed(folder):
    """JSON lines of the command."""
    told, complaints = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with redirect_stdout(told), redirect_stderr(complaints):
        assert run(["replay", str(folder), "--json"]) == 0, complaints.getvalue()
    told.seek(0)
    return [json.loads(line) for line in told]


def told(lines):
    """Causes of findings that are open at the end, and of those that gave way to them."""
    last = {}
    for line in lines:
        if line["type"] == "finding":
            last[line["cause"], str(line["subject"])] = line["status"]
    causes = {cause for (cause, _), status in last.items() if status == "open"}
    return causes, {cause for cause, _ in last} - causes


def test_every_seed_is_recorded():
    assert {folder.name for folder in SCENARIOS} >= SEEDS


@pytest.mark.parametrize("folder", SCENARIOS, ids=lambda folder: folder.name)
def test_a_recorded_scenario_is_understood(folder):
    expected = json.loads((folder / "expected.json").read_text())
    lines = replayed(folder)
    causes, superseded = told(lines)
    assert causes == set(expected["findings"])
    assert superseded <= FALLBACKS
    translations = [line for line in lines if line["type"] == "translation"]
    assert len(translations) == expected["translations"]
    translator = expected.get("translator", expected["mode"])
    assert all(line["engine"] == translator for line in translations)
    summary = lines[-1]
    assert summary["type"] == "summary"
    assert (summary["damaged"], summary["unparsed"]) == (0, 0)
    assert set(summary["lost"].values()) == {0}


@pytest.mark.parametrize("folder", SCENARIOS, ids=lambda folder: folder.name)
def test_packets_alone_tell_no_translation_and_no_cause_that_was_not(folder, tmp_path):
    """Fewer are fine: a translation is seen only where both its legs were captured."""
    for name in ("capture.pcapng", "cluster.yaml"):
        shutil.copy(folder / name, tmp_path)
    expected = json.loads((folder / "expected.json").read_text())
    lines = replayed(tmp_path)
    visible = expected.get("visible_in_packets", expected["translations"])
    assert visible * 2 / 3 <= lines[-1]["translations"] <= visible
    causes, _ = told(lines)
    assert causes - FALLBACKS <= set(expected["findings"])
    assert not causes or expected["findings"]


@pytest.mark.parametrize("folder", SCENARIOS, ids=lambda folder: folder.name)
def test_translations_equal_what_the_clients_and_pods_saw(folder):
    """The lab's own account of each exchange: client end, virtual end, pod that answered."""
    truth = folder / "truth" / "clients.ndjson"
    if not truth.exists():
        pytest.skip("this recording has no account of its clients")
    exchanges = [json.loads(line) for line in truth.read_text().splitlines()]
    if not json.loads((folder / "expected.json").read_text())["translations"]:
        exchanges = []  # answered without any translation
    there = {pod.name for pod in load(folder / "cluster.yaml").pods}
    answered = Counter(
        (e["client_ip"], e["client_port"], e["answered_by"] if e["answered_by"] in there else "")
        for e in exchanges
        if e["answered_by"]
    )
    lines = replayed(folder)
    seen = Counter(
        (
            line["client"]["ip"],
            line["client"]["port"],
            (line["backend"]["name"] or "").partition("/")[2],
        )
        for line in lines
        if line["type"] == "translation"
    )
    assert not answered - seen


def test_a_process_of_its_own_tells_the_same():
    folder = PCAPS / "ipvs-external-ip-is-node-ip"
    command = [sys.executable, "-m", "tracer", "replay", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[:-1] == replayed(folder)[:-1]


def test_the_blackhole_names_service_and_node_and_how_to_recover():
    lines = replayed(PCAPS / "ipvs-external-ip-is-node-ip")
    finding = next(line for line in lines if line["type"] == "finding")
    assert finding["cause"] == "ipvs-external-ip-is-node-ip"
    assert finding["severity"] == "critical"
    assert finding["subject"]["service"] == "kube-system/port-forward"
    steps = "\n".join(finding["remedy"])
    order = ["stop kubelet", "stop kube-proxy", "ip addr del", "kubectl delete", "start kubelet"]
    places = [steps.index(word) for word in order]
    assert places == sorted(places), steps
    evidence = "\n".join(
        part["text"] for line in lines if line["type"] == "finding" for part in line["evidence"]
    )
    assert "delivered locally" in evidence
