"""The image as a node debug pod runs it, on this kernel: check, live in every mode, explain, state.

As ``kubectl debug node`` has it: the node's network and process ids, its file system under
``/host``, a fresh ``/proc`` and ``/sys`` without debugfs or tracefs, and no kernel headers.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab.image import CONFIG
from lab.objects import CLUSTERS
from lab.rules.apply import MODES, Mode
from lab.suite import ADDRESSES, NODE, Case, run_case
from lab.topology import Topology
from tracer import address
from tracer.errors import UnableError

WHERE = "/run/viptrace-image"
CAPABILITIES = ("sys_admin", "bpf", "net_admin", "net_raw", "syslog", "sys_ptrace", "sys_resource")
"""Those of the DaemonSet."""
RUNS: Mapping[Mode, tuple[bool, tuple[str, ...], str]] = {
    "ipvs": (True, (), "as a debug pod"),
    "iptables": (True, ("--user", "65534"), "as a debug pod, then as another user"),
    "nftables": (False, (), "with the capabilities of the DaemonSet only"),
}
PROBES = Path("/sys/kernel/debug/kprobes/list")
FILES = ("iptables-save.txt", "addr.json", "route.json", "sysctl.txt", "conntrack.txt")
NAMES = ("--cluster", f"/host{CLUSTERS / 'default.yaml'}")
TIMEOUT_S = 300.0


def launcher(folder: Path, *, privileged: bool = True) -> tuple[str, ...]:
    """A command that runs the image's entry point, with further arguments, as a pod would."""
    config = json.loads((folder / CONFIG).read_text())
    environment = [f"{key}={value}" for key, value in config["environment"].items()]
    limits = [] if privileged else ["setpriv", "--no-new-privs", "--bounding-set", _bounds()]
    started = shlex.join(["env", "-i", *environment, "HOME=/root", *limits, *config["entrypoint"]])
    script = f"""
mount --make-rprivate /
mkdir -p {WHERE}
mount --bind {folder / "root"} {WHERE}
mount --rbind / {WHERE}/host
mount -t proc proc {WHERE}/proc
mount -t sysfs sysfs {WHERE}/sys
mount --bind /dev {WHERE}/dev
for place in tmp run {config["workdir"].strip("/")}; do mount -t tmpfs none {WHERE}/$place; done
exec chroot {WHERE} {started} "$@"
"""
    return ("unshare", "--mount", "sh", "-euc", script, "viptrace")


def _bounds() -> str:
    return "-all," + ",".join(f"+{name}" for name in CAPABILITIES)


def suite(image: Path, folder: Path, prefix: str, modes: Sequence[Mode] = MODES) -> Iterator[str]:
    """Lines of a table; those that begin with FAIL are failures."""
    yield from _checked(image)
    for mode in modes:
        yield from _mode(image, mode, folder / mode, prefix)


def _checked(image: Path) -> Iterator[str]:
    """``viptrace check``: probes without headers."""
    said = _output([*launcher(image), "check", "--json"])
    facts = {fact["name"]: fact for fact in map(json.loads, said.splitlines())}
    for name in ("kernel", "BTF", "headers", "bcc", "kprobes", "privileges"):
        verdict = "ok  " if facts[name]["works"] == "yes" else "FAIL"
        yield f"{verdict} check {name:12} {facts[name]['found']}"


def _mode(image: Path, mode: Mode, folder: Path, prefix: str) -> Iterator[str]:
    beside: list[str] = []
    privileged, options, how = RUNS[mode]
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)

    def explain_and_state(topology: Topology) -> None:
        beside.extend(_asked(image, topology, folder))

    result = run_case(
        Case(mode, 4, "bpf", tcp=53, udp=29),
        folder,
        prefix,
        beside=explain_and_state,
        launcher=launcher(image, privileged=privileged),
        files_at="/host",
        naming=NAMES,
        options=options,
    )
    yield f"{result.line()} ({how})"
    if not result.good:
        yield result.comparison.report() if result.comparison else result.failure
    left = PROBES.read_text().split() if PROBES.exists() else []
    yield f"FAIL {len(left)} probes are left" if left else "ok   no probe is left"
    yield from beside


def _asked(image: Path, topology: Topology, folder: Path) -> Iterator[str]:
    node = ("ip", "netns", "exec", topology.namespace(NODE), *launcher(image))
    source = next(pod for pod in topology.cluster.pods if pod.name == "shell")
    client = next(address.text(ip) for ip in source.ips if address.is_ipv4(ip))
    asked = ("explain", client, f"{ADDRESSES[4]}:80", "--from", f"pod:{source.key}", "--json")
    path = json.loads(_output([*node, *asked, *NAMES]))
    verdict = "ok  " if path["verdict"] == "delivered" and path["backends"] else "FAIL"
    yield f"{verdict} explain: {path['verdict']}, {len(path['backends'])} backends"
    _output([*node, "state", "-o", f"/host{folder}/state"])
    missing = [name for name in FILES if not (folder / "state" / name).exists()]
    yield f"FAIL state lacks {', '.join(missing)}" if missing else "ok   state: all files"


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode not in (0, 3):
        raise UnableError(f"{command[-3:]} failed with {done.returncode}", done.stderr[-2000:])
    return done.stdout
