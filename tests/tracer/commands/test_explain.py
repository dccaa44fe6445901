"""``viptrace explain`` and ``viptrace state`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tracer.cli import run
from tracer.node import state_files
from tracer.node.state_dir import load

PCAPS = Path(__file__).resolve().parents[3] / "pcaps"
SCENARIO = PCAPS / "node-port-rewrites-source"
QUESTION = ["172.18.0.100", "172.18.0.5:31500"]


def explain(*words: str, scenario: Path = SCENARIO) -> int:
    cluster = ["--cluster", str(scenario / "cluster.yaml")]
    return run(["explain", *words, "--state", str(scenario / "state"), *cluster])


def test_one_json_object_with_names_and_chances(capsys):
    assert explain(*QUESTION, "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["verdict"], told["masquerade"]) == ("delivered", True)
    assert [b["name"] for b in told["backends"]] == [f"default/deploy-echo-{n}" for n in (1, 2, 3)]
    assert told["source_nat"] == {"ip": "172.18.0.5", "port": None}


def test_a_tree_for_people(capsys):
    assert explain(*QUESTION) == 0
    told = capsys.readouterr().out
    for words in ("● PREROUTING", "masqueraded as 172.18.0.5", "decided on node kind-worker2"):
        assert words in told


def test_a_loss_names_its_cause(capsys):
    scenario = PCAPS / "svc-no-endpoints-iptables"
    assert explain("10.244.1.100", "10.96.0.30:80", scenario=scenario) == 0
    told = capsys.readouterr().out
    assert "rejected (icmp-port-unreachable): svc-no-endpoints" in told
    assert "kubectl get endpointslices -n default -l kubernetes.io/service-name=empty" in told
    assert "-l <selector>" in told  # what the walk does not know has its place


def test_a_cluster_file_in_the_state_directory_is_found(tmp_path, capsys):
    for file in (SCENARIO / "state").iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "cluster.yaml").symlink_to(SCENARIO / "cluster.yaml")
    assert run(["explain", *QUESTION, "--state", str(tmp_path)]) == 0
    assert "default/deploy-echo-1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["10.0.0.1", "10.96.0.10"], ["x", "10.96.0.10:80"], [*QUESTION, "--from", "pod:no/where"]],
)
def test_bad_questions_are_bad_usage(words, capsys):
    assert explain(*words) == 2
    assert "viptrace: " in capsys.readouterr().err


def test_a_missing_directory_is_told(tmp_path, capsys):
    assert run(["explain", *QUESTION, "--state", str(tmp_path / "nowhere")]) == 2
    assert "no such state directory" in capsys.readouterr().err


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A PATH with tools that print one line each, and one that fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    outputs = {
        "iptables-save": "*filter\\n:INPUT ACCEPT [0:0]\\nCOMMIT\\n",
        "nft": '{"nftables": []}',
        "ip": '[{"ifindex":1,"ifname":"lo","addr_info":[]}]',
    }
    for name, text in outputs.items():
        (folder / name).write_text(f"#!/bin/sh\nprintf '{text}'\n")
        (folder / name).chmod(0o755)
    (folder / "conntrack").write_text("#!/bin/sh\necho 'not permitted' >&2\nexit 1\n")
    (folder / "conntrack").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(state_files, "told_mode", lambda: "iptables")
    return tmp_path


def test_what_can_be_collected_is_and_the_rest_is_named(tools):
    proc = tools / "proc"
    (proc / "sys/net/ipv4").mkdir(parents=True)
    (proc / "sys/net/ipv4/ip_forward").write_text("1\n")
    notes = state_files.write_state(tools / "out", proc)
    assert (tools / "out" / "iptables-save.txt").read_text().startswith("*filter")
    assert (tools / "out" / "proxy-mode.txt").read_text() == "iptables\n"
    assert any(note.startswith("conntrack.txt: conntrack failed: not permitted") for note in notes)
    assert "ipset-save.txt: there is no ipset here" in notes
    state, _ = load(tools / "out")
    assert state.sysctls == {"net.ipv4.ip_forward": "1"}
    assert {"xtables", "xtables.ip", "nft", "sysctls", "virtual_servers"} <= state.known
    assert "address_sets" not in state.known
    assert ((tools / "out").stat().st_mode & 0o777) == 0o700


def test_no_tool_is_run_that_would_load_a_module(tools):
    (tools / "bin" / "ipvsadm").write_text("#!/bin/sh\nprintf 'loaded'\n")
    (tools / "bin" / "ipvsadm").chmod(0o755)
    proc = tools / "proc"
    proc.mkdir()
    notes = state_files.write_state(tools / "out", proc)
    assert any(note.startswith("sysctl.txt: nothing can be read in") for note in notes)
    assert (tools / "out" / "ipvsadm-save.txt").read_text() == ""
    (proc / "net").mkdir()
    (proc / "net" / "ip_vs").write_text("IP Virtual Server version 1.2.1 (size=4096)\n")
    state_files.write_state(tools / "out", proc)
    assert (tools / "out" / "ipvsadm-save.txt").read_text() == "loaded"


def test_the_command_says_what_it_wrote(tools, capsys):
    target = tools / "out"
    assert run(["state", "-o", str(target), "--cluster", str(SCENARIO / "cluster.yaml")]) == 0
    told = capsys.readouterr()
    assert "cluster.yaml" in told.out
    assert "not collected: conntrack.txt" in told.err


def test_a_directory_that_cannot_be_made_is_told(tools, capsys):
    (tools / "file").write_text("")
    assert run(["state", "-o", str(tools / "file" / "out"), "--no-cluster"]) == 2
    assert "Cannot write into" in capsys.readouterr().err
