"""``viptrace audit`` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tracer.cli import run
from tracer.commands import audit_run, node_input

PCAPS = Path(__file__).resolve().parents[3] / "pcaps"
CLAIMED = PCAPS / "external-ip-hidden-port"
HEALTHY = PCAPS / "node-port-chain-walk"


def audit(scenario: Path, *words: str) -> int:
    cluster = ["--cluster", str(scenario / "cluster.yaml")]
    return run(["audit", "--state", str(scenario / "state"), *cluster, *words])


def test_json_lines_and_the_summary_of_the_contract(capsys):
    assert audit(CLAIMED, "--json") == 0
    *findings, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert {line["type"] for line in findings} == {"finding"}
    assert findings[0]["subject"]["service"] == "kube-system/port-forward"
    assert summary["type"] == "summary"
    assert summary["findings"]["external-ip-hijack"] == 3
    assert summary["sizes"]["iptables-nft nat"]["rules"] == 35
    assert "ValidatingAdmissionPolicy" in summary["guard"]
    assert {"packets", "events", "translations", "lost", "damaged", "unparsed"} < summary.keys()
    assert {"duration_s", "backend", "degraded"} < summary.keys()


@pytest.mark.parametrize(("level", "code"), [("critical", 0), ("warning", 1), ("info", 1)])
def test_fail_on_a_severity(level, code, capsys):
    assert audit(CLAIMED, "--fail-on", level) == code


def test_a_healthy_node_is_quiet(capsys):
    assert audit(HEALTHY, "--fail-on", "warning") == 0
    told = capsys.readouterr().out
    assert "Audit of node kind-worker (iptables mode)" in told
    assert "rules in KUBE- chains" in told
    assert told.endswith("Findings: 0 critical, 0 warning, 1 info\n")


def test_the_guard_can_be_applied(capsys):
    assert run(["audit", "--guard"]) == 0
    kinds = [one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)]
    assert kinds == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]


def test_lines_and_names_that_are_hostile_do_nothing(tmp_path, capsys):
    shutil.copytree(CLAIMED / "state", tmp_path / "state")
    rules = tmp_path / "state" / "iptables-save.txt"
    rules.write_text(rules.read_text() + "\x1b[2Jgarbled {0} [bold]\n")
    text = (CLAIMED / "cluster.yaml").read_text()
    (tmp_path / "cluster.yaml").write_text(text.replace("port-forward", '"a\\e[31m; reboot"'))
    assert audit(tmp_path) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "Not understood: iptables-save.txt" in told
    assert "'a\\x1b[31m; reboot'" in told


def test_a_state_directory_that_is_not_there(tmp_path, capsys):
    assert run(["audit", "--state", str(tmp_path / "none")]) == 2
    assert "no such state directory" in capsys.readouterr().err


def test_live_drift_is_looked_at_twice(monkeypatch, capsys):
    lag = PCAPS / "endpoint-removal-lag"
    answers = [(lag, "cluster.yaml"), (PCAPS / "refused-by-backend", "cluster.yaml")]
    seen = []

    def collected(cluster):
        folder, name = answers[min(len(seen), 1)]
        seen.append(folder)
        return node_input.read(folder / "state", folder / name)

    monkeypatch.setattr(audit_run, "collected", collected)
    monkeypatch.setattr(audit_run, "SETTLE_S", 0.0)
    assert run(["audit", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(seen) == 2
    assert "rules-not-synced" not in summary["findings"]
    answers[1] = answers[0]
    seen.clear()
    assert run(["audit", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "rules-not-synced" in summary["findings"]
