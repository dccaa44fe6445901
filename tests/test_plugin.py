"""kubectl viptrace: the pod it makes, what it runs there, and that nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parent.parent / "deploy/plugin/kubectl-viptrace"
VIPTRACE = """#!/bin/bash
echo "viptrace $*" >> "$FAKE_STATE/ran"
case "$*" in
record*--forever*) echo begun; trap 'echo ended; exit 130' INT; while :; do read -t 0.05 <> <(:); done;;
record*) echo recorded;;
replay*) echo "merged ${@:3}";;
*) echo shown; exit "${FAKE_STATUS:-0}";;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")


class Desk:
    """A machine with a kubectl that notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.state, programs = folder / "state", folder / "bin"
        self.state.mkdir()
        programs.mkdir()
        fake = Path(__file__).with_name("fake_kubectl.py").read_text()
        self._program(
            programs / "kubectl", fake.replace("/usr/bin/env python3", f"{sys.executable} -IS")
        )
        self._program(programs / "viptrace", VIPTRACE)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "FAKE_STATE": str(self.state),
            "HOME": str(folder),
        }

    def _program(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(PLUGIN), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Of a job in the background it is ignored, and a shell cannot trap it then.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def calls(self, verb: str) -> list[list[str]]:
        lines = (self.state / "calls").read_text().splitlines()
        return [words for words in map(json.loads, lines) if words[0] == verb]

    def ran(self) -> list[str]:
        path = self.state / "ran"
        return path.read_text().splitlines() if path.exists() else []

    def deleted(self) -> list[str]:
        return [word for words in self.calls("delete") for word in words if "debug-" in word]

    def pod(self, number: int = 0) -> dict:
        return json.loads((self.state / f"pod-{number}" / "manifest.json").read_text())


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_node_s_screen_runs_in_a_pod_that_is_gone_afterwards(desk):
    status, out, _ = desk.run("--image", "reg.example/viptrace:1", "node", "one", "port 80")
    assert (status, out) == (0, "shown\n")
    spec = desk.pod()["spec"]
    assert spec["nodeName"] == "one"
    assert spec["hostNetwork"] is spec["hostPID"] is True
    assert spec["containers"][0]["image"] == "reg.example/viptrace:1"
    assert spec["containers"][0]["securityContext"]["privileged"] is True
    assert spec["activeDeadlineSeconds"] == 14400
    assert desk.deleted() == ["viptrace-debug-0"]


def test_without_an_account_names_are_sent_with_the_caller_s_rights(desk):
    desk.run("node", "one")
    assert desk.pod()["spec"]["automountServiceAccountToken"] is False
    sent = desk.state / "pod-0/cluster.json"
    assert json.loads(sent.read_text())["kind"] == "List"
    assert desk.ran() == [f"viptrace --cluster {sent}"]


def test_with_the_account_the_pod_asks_for_names_itself(desk):
    (desk.state / "serviceaccount").touch()
    (desk.state / "namespace").touch()
    desk.run("node", "one")
    assert desk.pod()["metadata"]["namespace"] == "viptrace"
    assert desk.pod()["spec"]["serviceAccountName"] == "viptrace"
    assert desk.ran() == ["viptrace "]


def test_commands_that_take_no_names_get_none(desk):
    desk.run("node", "one", "check", "--json")
    assert desk.ran() == ["viptrace check --json"]


def test_viptrace_s_own_exit_code_comes_back(desk):
    desk.environment["FAKE_STATUS"] = "3"
    assert desk.run("node", "one")[0] == 3
    assert desk.deleted()


def test_a_pod_that_never_starts_is_told_and_removed(desk):
    (desk.state / "unready").touch()
    status, _, err = desk.run("node", "one")
    assert status == 3
    assert "not ready" in err
    assert desk.deleted() == ["viptrace-debug-0"]


def test_a_recording_comes_back_as_a_file(desk, tmp_path):
    file = tmp_path / "one.pcapng"
    assert desk.run("record", "one", "-o", str(file), "--duration", "5")[0] == 0
    assert file.read_text() == "recorded\n"
    assert desk.ran()[0].startswith("viptrace record --duration 5 --cluster")
    assert desk.deleted()


def test_interrupted_a_recording_ends_in_order_and_the_pod_goes(desk, tmp_path):
    file = tmp_path / "one.pcapng"
    process = desk.start("record", "one", "-o", str(file), "--forever")
    while not (file.exists() and file.read_text()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert file.read_text() == "begun\nended\n"
    assert desk.deleted() == ["viptrace-debug-0"]


def test_all_nodes_are_recorded_at_once_and_merged(desk, tmp_path):
    folder = tmp_path / "incident"
    status, out, _ = desk.run("record", "--all-nodes", "-o", str(folder))
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == ["one.pcapng", "two.pcapng"]
    assert out == f"merged {folder}/one.pcapng {folder}/two.pcapng\n"
    assert sorted(desk.deleted()) == ["viptrace-debug-0", "viptrace-debug-1"]


@pytest.mark.parametrize(
    "words",
    [
        ("node",),
        ("node", 'one","x":"'),
        ("node", "../one"),
        ("record", "one"),
        ("fly",),
        ("--image", 'x","y', "node", "one"),
        ("--deadline", "1e9", "node", "one"),
        ("-n", "a b", "node", "one"),
    ],
)
def test_what_is_no_name_makes_no_pod(desk, words):
    status, _, err = desk.run(*words)
    assert status == 2
    assert err.startswith("kubectl viptrace: ")
    assert not list(desk.state.glob("pod-*"))


def test_help_names_every_command(desk):
    status, out, _ = desk.run("--help")
    assert status == 0
    for word in ("node NODE", "record NODE", "--all-nodes", "cleanup", "--image"):
        assert word in out
