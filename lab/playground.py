"""A cluster of namespaces on this kernel with gentle traffic, and viptrace live in one node."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.netns import Child
from lab.rules.apply import Mode
from lab.topology import Topology
from lab.traffic import Load, drive

Say = Callable[[str], None]

NODE = "worker-1"
PAUSE_S = 0.2
ROUNDS = (
    ("shell", Load("10.96.0.10", 80, tcp=3, udp=2, udp_port=53, timeout_s=1, pause_s=PAUSE_S)),
    ("shell", Load("fd00:10:96::a", 80, tcp=2, udp=1, udp_port=53, timeout_s=1, pause_s=PAUSE_S)),
    ("shell", Load("10.96.0.30", 80, tcp=1, timeout_s=1, pause_s=PAUSE_S)),
    ("client", Load("172.18.0.3", 30080, tcp=2, timeout_s=1, pause_s=PAUSE_S)),
    ("client", Load("172.18.0.201", 80, tcp=2, timeout_s=1, pause_s=PAUSE_S)),
)
"""What happens again and again; the third has no endpoints, so there is a fault to see."""


def keep_driving(load: Load, until: float) -> None:
    """Drive the load over and over until that monotonic time."""
    while time.monotonic() < until:
        drive(load)


def play(
    topology: Topology,
    mode: Mode,
    cluster: Path,
    duration_s: float,
    options: Sequence[str],
    say: Say,
) -> int:
    """Traffic for ``duration_s`` with viptrace in the foreground; its exit status."""
    topology.program(mode)
    until = time.monotonic() + duration_s
    drivers = [
        Child(topology.namespace(source), keep_driving, load, until) for source, load in ROUNDS
    ]
    say(f"viptrace on {NODE} for {duration_s:.0f} s; Ctrl-C ends it and removes everything")
    command = [
        *("ip", "netns", "exec", topology.namespace(NODE)),
        *(str(Path(sys.executable).with_name("viptrace")), "live"),
        *("--cluster", str(cluster), "--node", NODE, "--duration", str(duration_s), *options),
    ]
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        for driver in drivers:
            driver.stop()
