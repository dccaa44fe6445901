"""The system tools the lab needs, and how to get them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from lab.shell import run
from tracer.errors import UnableError

PACKAGE_BY_TOOL = {
    "bpftool": "bpftool",
    "busybox": "busybox-static",
    "conntrack": "conntrack",
    "depmod": "kmod",
    "file": "file",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "ipvsadm": "ipvsadm",
    "nft": "nftables",
    "qemu-system-x86_64": "qemu-system-x86",
    "sysctl": "procps",
    "tcpdump": "tcpdump",
}
"""Debian package by the command it brings; bcc's Python module has no command of its own."""

OTHERWISE_NAMED = {"etcd": "etcd-server"}
"""Of further commands, those whose package has another name."""
BCC_MODULE = "/usr/lib/python3/dist-packages/bcc"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing_packages() -> list[str]:
    """Debian packages that are always needed and not there."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    missing = {
        package for tool, package in PACKAGE_BY_TOOL.items() if not shutil.which(tool, path=path)
    }
    if not os.path.isdir(BCC_MODULE):
        missing.add("python3-bpfcc")
    return sorted(missing)


def ensure_tools(further: Sequence[str] = ()) -> list[str]:
    """Install what is missing, as root; returns the packages that were installed.

    ``further``: commands beside those that are always needed.
    """
    absent = [name for name in further if not shutil.which(name)]
    missing = [*missing_packages(), *(OTHERWISE_NAMED.get(name, name) for name in absent)]
    if not missing:
        return []
    if os.geteuid() != 0:
        raise UnableError(
            "tools the lab needs are missing",
            "not installed: " + ", ".join(missing),
            f"run as root: apt-get install {' '.join(missing)}",
        )
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], timeout_s=300, env=env)
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing]
    run(install, timeout_s=900, env=env)
    return missing
