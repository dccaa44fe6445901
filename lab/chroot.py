"""A command in another root file system, with this machine's network and nothing else of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.shell import run

CERTIFICATES = "/run/machine-certificates.pem"
STEP_TIMEOUT_S = 1800.0


def inside(root: Path, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Its standard output; its mounts are its own and end with it."""
    script = "\n".join((*mounts(root), f'exec chroot {root} "$@"'))
    given = [f"{key}={value}" for key, value in {**environment, **_network()}.items()]
    alone = ("unshare", "--mount", "sh", "-euc", script, "sh")
    return run([*alone, "env", "-i", *given, *command], timeout_s=STEP_TIMEOUT_S)


def _network() -> dict[str, str]:
    """How this machine reaches packages: proxies, pip's own settings, its certificates."""
    proxies = ("http_proxy", "https_proxy", "no_proxy")
    found = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower() in proxies
    }
    return found | ({"PIP_CERT": CERTIFICATES} if "PIP_CERT" in found else {})


def mounts(root: Path) -> list[str]:
    """What a step sees of this machine, none of which it can change.

    Package scripts write where they like: with the machine's certificates mounted for
    writing, ca-certificates once replaced them.
    """
    lines = ["mount --make-rprivate /", f"mount -t proc proc {root}/proc"]
    lines.append(f"mount -t tmpfs -o mode=755 none {root}/dev")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        lines += [f"touch {root}/dev/{name}", f"mount --bind /dev/{name} {root}/dev/{name}"]
    shared = {"/etc/resolv.conf": "/etc/resolv.conf"}
    if "PIP_CERT" in os.environ:
        shared[os.environ["PIP_CERT"]] = CERTIFICATES
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    if wheels.startswith("/"):
        shared[wheels] = wheels
    for source, target in shared.items():
        make = "mkdir -p" if os.path.isdir(source) else "touch"
        lines += [f"{make} {root}{target}", f"mount --bind {source} {root}{target}"]
        lines.append(f"mount -o remount,bind,ro {root}{target}")
    return lines
