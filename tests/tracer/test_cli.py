from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracer.cli import run

HEAVY = ("numpy", "scapy", "textual", "bcc", "yaml", "msgspec", "rich")


def complaint(capsys: pytest.CaptureFixture[str]) -> list[str]:
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.splitlines()


def test_help_names_the_commands_and_how_to_turn_completion_on(capsys):
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    for word in ("live", "replay", "check", "_VIPTRACE_COMPLETE=bash_source", "130 interrupted"):
        assert word in told


def test_help_imports_nothing_heavy():
    script = f"import sys, tracer.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["live", "replay", "check"])
def test_every_command_has_help(command, capsys):
    assert run([command, "--help"]) == 0
    assert f"viptrace {command}" in capsys.readouterr().out


def test_an_unknown_option_is_bad_usage_in_three_lines(capsys):
    assert run(["live", "--foo"]) == 2
    what, why, remedy = complaint(capsys)
    assert what == "viptrace: No such option '--foo'."
    assert why.startswith("Usage: viptrace live")
    assert remedy == "Type 'viptrace live --help' for what it takes."


def test_options_without_a_command_are_those_of_live(capsys):
    assert run(["--backend", "magic"]) == 2
    assert "'magic' is not one of" in complaint(capsys)[0]


def test_an_unknown_command_is_bad_usage(capsys):
    assert run(["zzzz"]) == 2
    assert complaint(capsys)[0] == "viptrace: No such command 'zzzz'."


def test_an_unknown_interface_is_named_with_those_that_exist(capsys):
    assert run(["live", "--iface", "nosuch0"]) == 2
    what, why, remedy = complaint(capsys)
    assert what == "viptrace: No interface 'nosuch0'."
    assert "lo" in why
    assert "--iface" in remedy


def test_options_that_exclude_each_other(capsys):
    assert run(["live", "--json", "--text"]) == 2
    assert run(["live", "--cluster", "x.yaml", "--no-cluster"]) == 2
    assert len(complaint(capsys)) == 4


def test_a_missing_capture(capsys, tmp_path: Path):
    assert run(["replay", str(tmp_path / "none.pcap")]) == 2
    what, why, _ = complaint(capsys)
    assert what == f"viptrace: Cannot read {tmp_path}/none.pcap."
    assert why == "There is no such file or folder."


def test_a_file_that_is_no_capture(capsys, tmp_path: Path):
    path = tmp_path / "some.pcap"
    path.write_bytes(b"certainly not a capture file")
    assert run(["replay", "--json", str(path)]) == 2
    assert str(path) in complaint(capsys)[0]


def test_a_folder_without_a_recording(capsys, tmp_path: Path):
    assert run(["replay", str(tmp_path)]) == 2
    assert complaint(capsys)[0] == f"viptrace: {tmp_path} holds no recording."


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf"])
def test_a_speed_that_is_none(capsys, speed, tmp_path: Path):
    assert run(["replay", "--speed", speed, str(tmp_path)]) == 2
    assert complaint(capsys)[0] == f"viptrace: --speed {speed} is not a speed."


def test_a_broken_cluster_file(capsys, tmp_path: Path):
    path = tmp_path / "cluster.yaml"
    path.write_text("kind: [Service\n  metadata: {")
    assert run(["live", "--json", "--no-packets", "--cluster", str(path)]) == 2
    told = complaint(capsys)
    assert str(path) in told[0]
    assert len(told) >= 3


def test_a_filter_that_is_none(capsys, tmp_path: Path):
    assert run(["live", "--json", "--no-packets", "port="]) == 2
    assert "column" in complaint(capsys)[0].lower()


def test_names_in_errors_cannot_act_on_the_terminal(capsys):
    assert run(["replay", "a\x1b[2J\u202eb"]) == 2
    assert complaint(capsys)[0] == "viptrace: Cannot read a\\x1b[2J\\u202eb."


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give privileges up")
def test_without_privileges_live_says_what_would_help():
    told = subprocess.run(
        [
            "setpriv",
            "--reuid",
            "65534",
            "--bounding-set",
            "-all",
            "--inh-caps",
            "-all",
            sys.executable,
            "-m",
            "tracer",
            "live",
            "--json",
            "--backend",
            "conntrack",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert told.returncode == 3, told.stderr
    assert told.stdout == ""
    assert told.stderr.startswith("viptrace: ")
    assert "Traceback" not in told.stderr
    assert "root" in told.stderr or "CAP_NET_ADMIN" in told.stderr


def test_check_says_of_each_part_whether_it_works(capsys):
    assert run(["check", "--json"]) in (0, 3)
    facts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {fact["name"] for fact in facts} >= {
        "kernel",
        "BTF",
        "bcc",
        "kprobes",
        "IPVS",
        "conntrack",
    }
    for fact in facts:
        assert fact["type"] == "check"
        assert fact["works"] in ("yes", "partly", "no")
        assert fact["found"]
        assert fact["works"] != "no" or (fact["degrades"] and fact["remedy"])


def test_a_reader_that_goes_away_is_no_bug():
    script = "import sys; from tracer.cli import run; sys.exit(run(['check']))"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os, time; time.sleep(0); {script}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 128 + signal.SIGPIPE
