"""Kubernetes' programs, built from the published Go modules into a cache outside the tree.

No release can be installed as a module by itself: ``k8s.io/kubernetes`` replaces its staging
modules by folders. A module of ours requires it and replaces each with its published release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from lab.kernels import Say, cache_root
from lab.shell import run
from tracer.errors import UnableError

CURRENT = "1.34.2"
OLDER = "1.28.15"
RELEASES = (CURRENT, OLDER)
"""Two and a half years apart; the older one has no nftables mode."""
APPS = {
    "kube-proxy": ("k8s.io/kubernetes/cmd/kube-proxy/app", "NewProxyCommand"),
    "kube-apiserver": ("k8s.io/kubernetes/cmd/kube-apiserver/app", "NewAPIServerCommand"),
    "kubectl": ("k8s.io/kubectl/pkg/cmd", "NewDefaultKubectlCommand"),
}
GO_VERSION = "1.24.0"
OLDEST_GO = "go1.21"
BUILD_TIMEOUT_S = 3600.0
DOWNLOAD_TIMEOUT_S = 900.0
REACH_TIMEOUT_S = 30.0
REPORT_S = 30.0
MAIN = """package main

import (
\t"os"

\t"k8s.io/component-base/cli"
\tapp "{package}"
)

func main() {{ os.Exit(cli.Run(app.{command}())) }}
"""
_STAGING = re.compile(r"(k8s\.io/[a-z0-9-]+) => \./staging")


def cached(name: str, release: str) -> Path:
    """Where the program of that release is, or will be."""
    return cache_root() / "kubernetes" / f"v{release}" / name


def kubectl() -> str:
    """The machine's own, else the one that was built; empty without either."""
    built = cached("kubectl", CURRENT)
    return shutil.which("kubectl") or (str(built) if built.exists() else "")


def minor(release: str) -> str:
    """``1.34`` of ``1.34.2``."""
    return release.rpartition(".")[0]


def why_not(wanted: tuple[tuple[str, str], ...]) -> str:
    """Why these (program, release) cannot be had on this machine; empty: they can."""
    missing = [(name, release) for name, release in wanted if not cached(name, release).exists()]
    if not missing:
        return ""
    if shutil.which("go") is None:
        return "no Go toolchain"
    found = run(["go", "env", "GOVERSION"], cwd=Path("/")).strip()
    if not _can_build(found):
        return (
            f"{found or 'Go'} is older than {OLDEST_GO}, which fetches the release that is needed"
        )
    for release in sorted({release for _, release in missing}):
        module = f"k8s.io/kubernetes@v{release}"
        try:
            run(["go", "list", "-m", module], cwd=Path("/"), timeout_s=REACH_TIMEOUT_S)
        except UnableError as error:
            said = " ".join(error.why.split())[-200:] or error.what
            return f"the Go module proxy does not give {module}: {said}"
    return ""


def ensure_program(name: str, release: str, say: Say) -> Path:
    """The program of that release, built when the cache has none: minutes on two cores."""
    target = cached(name, release)
    if target.exists():
        return target
    why = why_not(((name, release),))
    if why:
        raise UnableError(
            f"{name} {release} cannot be built", why, "install Go, and let it reach a module proxy"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        say(f"{name} {release}: downloading modules")
        _write_module(folder, name, release)
        _build(folder, name, f"{name} {release}", say)
        (folder / name).rename(target)
    return target


def _can_build(version: str) -> bool:
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= (1, 21)


def go_module(release: str, staging: list[str]) -> str:
    """The ``go.mod`` that requires one release of Kubernetes and of its staging modules."""
    lines = [f"module lab\n\ngo {GO_VERSION}\n\nrequire k8s.io/kubernetes v{release}\n\nreplace ("]
    lines += [f"\t{module} => {module} v0.{release.partition('.')[2]}" for module in staging]
    return "\n".join([*lines, ")", ""])


def staging_modules(text: str) -> list[str]:
    """The modules that Kubernetes' own ``go.mod`` replaces by folders."""
    return sorted(set(_STAGING.findall(text)))


def _write_module(folder: Path, name: str, release: str) -> None:
    package, command = APPS[name]
    (folder / "go.mod").write_text(f"module lab\n\ngo {GO_VERSION}\n")
    told = run(
        ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{release}"],
        cwd=folder,
        timeout_s=DOWNLOAD_TIMEOUT_S,
    )
    its_own = (Path(json.loads(told)["Dir"]) / "go.mod").read_text()
    (folder / "go.mod").write_text(go_module(release, staging_modules(its_own)))
    (folder / "main.go").write_text(MAIN.format(package=package, command=command))
    env = {**os.environ, "GOFLAGS": "-mod=mod"}
    run(["go", "mod", "tidy"], cwd=folder, timeout_s=DOWNLOAD_TIMEOUT_S, env=env)


def _build(folder: Path, name: str, what: str, say: Say) -> None:
    """Compile beside everything else that this machine does, and tell that it goes on."""
    log = folder / "build.log"
    with log.open("wb") as output:
        compiler = subprocess.Popen(
            ["nice", "-n", "10", "go", "build", "-o", name, "."],
            cwd=folder,
            env={**os.environ, "GOFLAGS": "-mod=mod"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(compiler, what, say)
        finally:
            if compiler.poll() is None:
                compiler.kill()
                compiler.wait()
    if compiler.returncode != 0:
        raise UnableError(f"{what} did not compile", log.read_text(errors="replace")[-2000:])


def _wait(compiler: subprocess.Popen[bytes], what: str, say: Say) -> None:
    started = time.monotonic()
    while (spent := time.monotonic() - started) < BUILD_TIMEOUT_S:
        try:
            compiler.wait(REPORT_S)
            say(f"{what}: compiled in {time.monotonic() - started:.0f} s")
            return
        except subprocess.TimeoutExpired:
            say(f"{what}: compiling, {spent:.0f} s so far")
    raise UnableError(f"{what} was not compiled within {BUILD_TIMEOUT_S:.0f} s")
