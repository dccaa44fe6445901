"""A command beside etcd and the API server, on this machine or in the virtual machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.kernels import KernelImage, Say, cache_root
from lab.real.control_plane import ControlPlane
from lab.real.releases import CURRENT, ensure_program, kubectl, why_not
from lab.tools import ensure_tools
from lab.vm import VmSettings, run_in_vm
from tracer.errors import UnableError

CLUSTER_TOOLS = ("etcd", "openssl")
ACCESS_FILE = "access.json"


def why_skipped(releases: Sequence[str]) -> str:
    """Why this machine cannot run kube-proxy and an API server; empty: it can."""
    if os.geteuid() != 0:
        return "not root"
    try:
        ensure_tools(CLUSTER_TOOLS)
    except UnableError as error:
        return error.what
    wanted = [("kube-apiserver", CURRENT), *(("kube-proxy", name) for name in releases)]
    return why_not((*wanted, *(() if kubectl() else (("kubectl", CURRENT),))))


def run_beside(
    command: Sequence[str],
    releases: Sequence[str],
    results: Path,
    image: KernelImage | None,
    settings: VmSettings,
    variable: str,
    say: Say,
) -> int:
    """The command's exit status; ``variable`` tells it where the way to the API server is written.

    Without an ``image`` it runs here.
    """
    for release in releases:
        ensure_program("kube-proxy", release, say)
    if image is None and not kubectl():
        ensure_program("kubectl", CURRENT, say)
    results.mkdir(parents=True, exist_ok=True)
    with ControlPlane(results / "control-plane", say) as access:
        path = results / ACCESS_FILE
        if image is None:
            access.save(path)
            env = {**os.environ, variable: str(path)}
            return subprocess.run(command, env=env, check=False).returncode
        access.from_guest().save(path)
        say(f"booting {image.version}; results in {results}")
        # The guest has another home: what was built lies in this one's cache.
        known = [f"{variable}={path}", f"XDG_CACHE_HOME={cache_root().parent}"]
        return run_in_vm(image, ["env", *known, *command], results, settings)
