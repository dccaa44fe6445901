"""Where a configuration for the API server may be: flag, environment, pod, home, kubelet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tracer.errors import InputError

SERVICE_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
KUBELET_CONFIGS = (
    "etc/kubernetes/kubelet.conf",  # kubeadm
    "var/lib/kubelet/kubeconfig",  # managed clusters
    "var/lib/rancher/k3s/agent/kubelet.kubeconfig",
    "var/lib/rancher/rke2/agent/kubelet.kubeconfig",
    "var/snap/microk8s/current/credentials/kubelet.config",
)
_FILE_KEYS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_LINK_LIMIT = 40
"""Symbolic links followed on one path, as in the kernel."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration that may work."""

    label: str
    """For messages: where it is from."""
    path: Path | None = None
    """A kubeconfig; None for the pod's own service account."""
    root: Path = Path("/")
    """Where the paths within the kubeconfig begin: a node's file system may be mounted."""


def candidates(
    given: Path | None, root: Path = Path("/"), environment: Mapping[str, str] = os.environ
) -> Iterator[Candidate]:
    """Configurations in order of preference; the kubelet's own is the last resort."""
    if given is not None:
        yield Candidate(f"--kubeconfig {given}", given)
        return
    for text in environment.get("KUBECONFIG", "").split(os.pathsep):
        if text and _readable(Path(text)):
            yield Candidate(f"KUBECONFIG {text}", Path(text))
    token = root / SERVICE_ACCOUNT / "token"
    if environment.get("KUBERNETES_SERVICE_HOST") and _readable(token):
        yield Candidate("the pod's service account")
    home = Path(environment.get("HOME") or "/root") / ".kube/config"
    if _readable(home):
        yield Candidate(str(home), home)
    for base in (root, root / "host"):
        for name in KUBELET_CONFIGS:
            if _readable(base / name):
                yield Candidate(f"the kubelet's {base / name}", base / name, base)


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK) and path.is_file()


def kubeconfig(candidate: Candidate) -> dict[str, object]:
    """The kubeconfig's content with every file it names found; InputError if it is none."""
    path = candidate.path
    assert path is not None
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else ""
        raise _unusable(candidate, why or str(error).partition("\n")[0]) from error
    if not isinstance(content, dict) or not isinstance(content.get("clusters"), list):
        raise _unusable(candidate, "It has no list of clusters.")
    for section in ("clusters", "users"):
        for entry in content.get(section) or ():
            inner = entry.get(section[:-1]) if isinstance(entry, dict) else None
            if isinstance(inner, dict):
                _find_files(inner, candidate)
    return content


def _find_files(section: dict[str, object], candidate: Candidate) -> None:
    for key in _FILE_KEYS:
        name = section.get(key)
        if isinstance(name, str) and name:
            assert candidate.path is not None
            absolute = Path(name) if name.startswith("/") else candidate.path.parent / name
            section[key] = str(within(candidate.root, absolute))


def within(root: Path, path: Path) -> Path:
    """Where a path of another file system really is; its symbolic links begin at its root too."""
    if root == Path("/"):
        return path
    left = [part for part in reversed(path.parts) if part not in ("/", "..")]
    if path.is_relative_to(root):
        left = list(reversed(path.relative_to(root).parts))
    found, links = root, 0
    while left:
        part = left.pop()
        if part == "..":
            found = found.parent if found != root else root
            continue
        step = found / part
        if step.is_symlink() and links < _LINK_LIMIT:
            links += 1
            target = Path(os.readlink(step))
            found = root if target.is_absolute() else found
            left += [part for part in reversed(target.parts) if part != "/"]
        else:
            found = step
    return found


def _unusable(candidate: Candidate, why: str) -> InputError:
    return InputError(
        f"Cannot use the kubeconfig {candidate.path}.",
        why,
        "Name a file that works with kubectl --kubeconfig, or leave it out.",
    )
