"""What several commands of the lab share: their options, and what these stand for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from lab.kernels import SUITES
from lab.proxying import Proxies, WrittenRules
from lab.real.access import load as load_access
from lab.real.proxies import RealProxies
from lab.real.releases import RELEASES
from lab.rules.apply import MODES
from lab.vm import CHECKOUT
from tracer.errors import InputError, UnableError

CLUSTERS = Path(__file__).parent / "clusters"
KERNEL = click.option(
    "--kernel", envvar="KERNEL", default="6.1", show_default=True, type=click.Choice(list(SUITES))
)

CLUSTER = click.option(
    "--cluster",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=CLUSTERS / "default.yaml",
    help="cluster file; default: three nodes, three echo pods",
)
MODE = click.option("--mode", default="iptables", show_default=True, type=click.Choice(list(MODES)))
PROXY = click.option(
    "--proxy",
    default="written",
    show_default=True,
    type=click.Choice(["written", *RELEASES]),
    help="the lab's own rules, or kube-proxy of that release (see with-api)",
)
TRACED_ONLY = click.option(
    "--traced-only", is_flag=True, help="a proxy on the traced node alone: quicker"
)
ACCESS = "LAB_ACCESS"
"""Names the file that tells how to reach the API server of ``with-api``."""


def say(text: str) -> None:
    """Progress goes to standard error, so that a command's own output stays clean."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def proxies_of(release: str) -> Proxies:
    """Who programs the nodes; InputError without the API server that kube-proxy needs."""
    if release == "written":
        return WrittenRules()
    path = os.environ.get(ACCESS)
    if not path:
        raise InputError(
            f"kube-proxy {release} needs an API server",
            f"{ACCESS} is not set",
            f"python -m lab with-api --proxy {release} -- python -m lab …",
        )
    logs = results_folder() / "kube-proxy"
    logs.mkdir(parents=True, exist_ok=True)
    return RealProxies(load_access(Path(path)), release, say, logs)


def require_root() -> None:
    """Namespaces need it."""
    if os.geteuid() != 0:
        raise UnableError("the lab makes network namespaces", "that needs root", "run it as root")


def results_folder() -> Path:
    """Where a run leaves its files: the folder shared with the machine, inside the VM."""
    return Path(os.environ.get("LAB_RESULTS") or tempfile.mkdtemp(prefix="viptrace-lab-"))


def unique_prefix() -> str:
    """The beginning of this run's namespace names."""
    return f"lab{os.getpid()}"


def compile_checkout() -> None:
    """Byte-compile on the host: under emulation it would cost seconds on every start."""
    folders = [str(CHECKOUT / name) for name in ("lab", "tracer", "probes", "tests")]
    command = [sys.executable, "-m", "compileall", "-qq", *folders]
    subprocess.run(command, capture_output=True, check=False)
