"""Debian kernel images from the machine's own package archive, unpacked into a cache."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.shell import run
from tracer.errors import InputError, UnableError

METAPACKAGE = "linux-image-amd64"
SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", "newest": "sid"}
"""Debian suite that carries each kernel series."""
ALONE = frozenset({"newest"})
"""Stay up on one processor only: emulation trips over their patching of running code."""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KernelImage:
    """One unpacked kernel package."""

    version: str
    root: Path

    @property
    def vmlinuz(self) -> Path:
        """The bootable image; its modules lie beside it, which is where virtme-ng looks."""
        return self.root / "boot" / f"vmlinuz-{self.version}"


def processors(series: str) -> int:
    """How many processors a guest with this kernel gets."""
    return 1 if series in ALONE else 2


def cache_root() -> Path:
    """Where the lab keeps what it fetched: outside the tree, ``XDG_CACHE_HOME`` respected."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "viptrace-lab"


def dependency(depends: str) -> str:
    """The kernel image package named by ``apt-cache depends`` of the metapackage."""
    found = re.search(r"Depends:\s+(linux-image-\S+)", depends)
    if found is None:
        raise UnableError(
            f"apt does not know what {METAPACKAGE} depends on",
            depends.strip() or "apt-cache printed nothing",
            "run: apt-get update",
        )
    return found.group(1)


def parts(depends: str, image: str) -> list[str]:
    """Packages to unpack: the image, and those that newer releases split off it."""
    version = image.removeprefix("linux-image-")
    names = re.findall(r"Depends:\s+(\S+)", depends)
    split = [f"linux-{part}-{version}" for part in ("base", "binary", "modules")]
    return [image, *(name for name in split if name in names)]


def archive_site(targets: str, codename: str) -> str:
    """The mirror this machine is configured with, from ``apt-get indextargets`` lines."""
    for line in targets.splitlines():
        site, _, suite = line.partition("|")
        if suite == codename:
            return site
    raise UnableError(
        f"no package source of this machine carries {codename}",
        "other kernels are fetched from the mirror of the machine's own sources",
        "add a Debian source to apt, or use the kernel of this release",
    )


def ensure_kernel(series: str, say: Say) -> KernelImage:
    """The newest kernel of ``series``, fetched and unpacked when the cache has none."""
    if series not in SUITES:
        raise InputError(f"unknown kernel {series}", f"known: {', '.join(SUITES)}")
    options = _apt_options(series, say)
    package = dependency(run(["apt-cache", *options, "depends", METAPACKAGE]))
    version = package.removeprefix("linux-image-")
    image = KernelImage(version, cache_root() / "kernels" / version)
    if not image.vmlinuz.exists():
        say(f"fetching {package}")
        _unpack(package, options, image)
    return image


def _apt_options(series: str, say: Say) -> list[str]:
    """None for the machine's own release; else a private apt state for the other suite."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    suite = SUITES[series]
    if suite == codename:
        return []
    targets = run(["apt-get", "indextargets", "--format", "$(SITE)|$(CODENAME)"])
    state = cache_root() / "apt" / suite
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    source = state / "sources.list"
    source.write_text(f"deb [signed-by={KEYRING}] {archive_site(targets, codename)} {suite} main\n")
    options = private_state(state)
    say(f"reading the package list of {suite}")
    run(["apt-get", *options, "update", "-q"], timeout_s=300)
    return options


def private_state(state: Path) -> list[str]:
    """Options that keep apt away from the system's own lists and caches."""
    settings = {
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _unpack(package: str, options: Sequence[str], image: KernelImage) -> None:
    image.root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=image.root.parent) as scratch:
        download = Path(scratch)
        sandbox = ["-o", "APT::Sandbox::User=root"]
        packages = parts(run(["apt-cache", *options, "depends", package]), package)
        run(["apt-get", *sandbox, *options, "download", *packages], timeout_s=600, cwd=download)
        tree = download / "tree"
        for deb in download.glob("*.deb"):
            run(["dpkg-deb", "-x", str(deb), str(tree)], timeout_s=300)
        _link_old_places(tree, image.version)
        run(["depmod", "-b", str(tree), image.version])
        tree.rename(image.root)


def _link_old_places(tree: Path, version: str) -> None:
    """Newer packages have all in ``/usr/lib/modules``, the image too; virtme-ng looks elsewhere."""
    if not (tree / "lib" / "modules").exists():
        (tree / "lib").mkdir(exist_ok=True)
        (tree / "lib" / "modules").symlink_to("../usr/lib/modules")
    vmlinuz = tree / "boot" / f"vmlinuz-{version}"
    if not vmlinuz.exists():
        vmlinuz.parent.mkdir(exist_ok=True)
        vmlinuz.symlink_to(f"../lib/modules/{version}/vmlinuz")
