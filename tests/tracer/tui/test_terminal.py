"""The real thing on a real terminal, as a user has it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.tracer.tui.terminal import EXITED, ROOT, terminal

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux to read a screen")
INCIDENT = ROOT / "pcaps" / "ipvs-external-ip-is-node-ip"


@pytest.mark.root  # for its seconds: the fast suite has the same pages without a terminal
def test_an_incident_is_read_played_and_left(tmp_path: Path):
    command = [sys.executable, "-m", "tracer", "replay", str(INCIDENT)]
    with terminal(tmp_path, command, 80, 24) as screen:
        screen.until("3 CRITICAL", "kube-system/port-forward", "(ended)")
        screen.press("Enter")
        screen.until("What to do", "crictl stop")
        screen.press("Escape")
        screen.until("Severity  Whom")
        screen.press("@")
        screen.until("go to 14:03")
        screen.press("0", "%", "Enter")
        screen.until("❚❚ max", " 0.0s of ")
        screen.resize(160, 45)
        screen.press("3")
        screen.until("Service / backend", "p , . < >")
        screen.press("q")
        screen.until(f"{EXITED}0")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces")
@pytest.mark.timeout(200)
def test_a_live_node_is_watched_looked_back_at_and_left(tmp_path: Path):
    command = [sys.executable, "-m", "lab", "playground", "--duration", "150"]
    with terminal(tmp_path, command, 160, 45, patience_s=90.0) as screen:
        screen.until("viptrace live", "● live", "default/echo:web", "10.96.0.10:80")
        screen.press("p")
        screen.until(" ago")
        screen.press("p")
        screen.until("● live")
        screen.press("d")
        screen.until("health checks fail: 172.18.0.3:32122 of default/echo-balancer: refused")
        screen.press("Escape")
        screen.until("/ Filter")
        screen.resize(80, 24)
        screen.press("3")
        screen.until("Service / backend", "default/echo-external:web")
        screen.press("4")
        screen.until("conntrack confirmed")
        screen.press("q")
        screen.until(f"{EXITED}0")
