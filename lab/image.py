"""The root file system that the Dockerfile describes, built with its own steps, without an engine.

The base comes from the distribution's archive (mmdebstrap), cut down as the slim image is; each
``RUN`` runs in a chroot with private mounts, each ``COPY`` copies. What results is used as a chroot
to test with; its size is what the image has.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.chroot import STEP_TIMEOUT_S, inside
from lab.dockerfile import Stage, Step, allowed, expanded, read
from lab.kernels import cache_root
from lab.shell import run
from tracer.errors import InputError, UnableError

CHECKOUT = Path(__file__).resolve().parent.parent
BASES = {"debian:12-slim": "bookworm"}
"""Debian suite behind each base image."""
SLIM = (
    *("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/linda/*", "/usr/share/lintian/*"),
    *("/usr/share/locale/*", "/usr/share/man/*", "/usr/share/groff/*", "/var/cache/man/*"),
)
"""What the slim images leave out, now and in later installations; copyrights stay."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONFIG = "config.json"
"""Beside the root: what the Dockerfile says about running it."""
FOREIGN = {"arm64": "aarch64"}
"""QEMU's name of other architectures, by Debian's."""
MB, MIB = 10**6, 1 << 20
MOST_MB = 300
"""More than that is too much for a node that has to fetch it in an incident."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Root:
    """One stage's file system while it is built, and what its steps have set."""

    path: Path
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = "0"
    entrypoint: list[str] = field(default_factory=list)


def build(
    folder: Path,
    say: Say,
    target: str = "",
    dockerfile: Path = CHECKOUT / "Dockerfile",
    machine: str = "",
) -> Root:
    """Build into ``folder``, which is replaced; the root is ``folder/root``.

    ``machine``: Debian's name of another architecture, whose programs this kernel runs by
    emulation (``foreign_ready``); empty for this machine's.
    """
    if os.geteuid() != 0:
        raise UnableError("a root file system is built in a chroot", "that needs root")
    context = dockerfile.parent
    passing = allowed((context / ".dockerignore").read_text())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    *before, last = wanted(read(dockerfile), target)
    made: dict[str, Root] = {}
    for stage in (*before, last):
        root = Root(folder / ("root" if stage is last else f"stage-{stage.name}"))
        _begin(stage, root, made, say, machine)
        for step in stage.steps:
            say(f"{dockerfile.name}:{step.line} {step.word} {step.text[:70]}")
            _run_step(step, root, made, context, passing)
        made[stage.name] = root
    for stage in before:
        shutil.rmtree(made[stage.name].path)
    root = made[last.name]
    # What an engine makes for the volumes of a pod.
    (root.path / "host").mkdir()
    (folder / CONFIG).write_text(json.dumps(asdict(root), default=str))
    return root


def wanted(stages: Sequence[Stage], target: str = "") -> list[Stage]:
    """The target (the last stage where none is named) behind the stages that it is made of."""
    by_name = {stage.name: stage for stage in stages}
    if target and target not in by_name:
        raise InputError(f"the Dockerfile has no stage {target}")
    last = by_name[target] if target else stages[-1]
    needed = {last.name}
    for stage in reversed(stages):
        if stage.name in needed:
            needed |= {stage.base, *_copied_from(stage)}
    return [stage for stage in stages if stage.name in needed]


def _copied_from(stage: Stage) -> Iterator[str]:
    for step in stage.steps:
        yield from (item[7:] for item in step.text.split() if item.startswith("--from="))


def image_folder(target: str = "", machine: str = "") -> Path:
    """Where an image's root is kept, outside the tree."""
    return cache_root() / "image" / f"{target or 'node'}{machine and f'-{machine}'}"


def foreign_ready(machine: str, registry: Path = Path("/proc/sys/fs/binfmt_misc")) -> None:
    """UnableError unless this kernel runs that architecture's programs, in a chroot too."""
    name = FOREIGN[machine]
    entry = registry / f"qemu-{name}"
    told = dict(line.split(maxsplit=1) for line in _lines(entry) if " " in line)
    if "F" not in told.get("flags:", ""):
        raise UnableError(
            f"this kernel does not run programs for {machine}",
            "no interpreter is registered that a chroot can use",
            "apt install qemu-user-static; mount -t binfmt_misc none /proc/sys/fs/binfmt_misc;"
            f" cat /usr/lib/binfmt.d/qemu-{name}.conf >/proc/sys/fs/binfmt_misc/register",
        )


def _lines(entry: Path) -> list[str]:
    return entry.read_text().splitlines() if entry.exists() else []


def size_bytes(root: Path) -> int:
    """Bytes of all files, hard links once: what ``docker image ls`` would say, about."""
    seen, total = set(), 0
    for folder, _, names in os.walk(root):
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            if (found.st_dev, found.st_ino) not in seen and not stat.S_ISSOCK(found.st_mode):
                seen.add((found.st_dev, found.st_ino))
                total += found.st_size
    return total


def _begin(stage: Stage, root: Root, made: dict[str, Root], say: Say, machine: str) -> None:
    """The file system and the settings that a stage begins with."""
    if stage.base == "scratch":
        root.path.mkdir(parents=True)
        return
    if (before := made.get(stage.base)) is None:
        _unpack_base(stage.base.partition("@")[0], root, say, machine)
        return
    run(["cp", "-a", str(before.path), str(root.path)], timeout_s=300)
    root.environment, root.workdir = dict(before.environment), before.workdir
    root.user, root.entrypoint = before.user, list(before.entrypoint)


def _unpack_base(name: str, root: Root, say: Say, machine: str) -> None:
    if name not in BASES:
        raise InputError(f"no way to make {name} without an engine")
    kind = f"{name.replace(':', '-')}{machine and f'-{machine}'}"
    archive = cache_root() / "image" / f"{kind}.tar"
    if not archive.exists():
        say(f"bootstrapping {name}")
        archive.parent.mkdir(parents=True, exist_ok=True)
        cut = [f"--dpkgopt=path-exclude={path}" for path in SLIM]
        keep = ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        target = archive.with_suffix(".partial.tar")
        # As the official image: merged from the start, without the package that would merge it.
        merged = ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"]
        options = ["--variant=minbase", "--quiet", *merged, *cut, *keep]
        options += [f"--architectures={machine}"] if machine else []
        command = ["mmdebstrap", *options, BASES[name]]
        run([*command, str(target)], timeout_s=STEP_TIMEOUT_S)
        target.replace(archive)
    root.path.mkdir(parents=True)
    run(["tar", "-xf", str(archive), "-C", str(root.path), "--numeric-owner"], timeout_s=300)


def _run_step(
    step: Step, root: Root, made: dict[str, Root], context: Path, passing: frozenset[str]
) -> None:
    text = expanded(step.text, root.environment)
    if step.word == "SHELL":
        root.shell = step.items
    elif step.word == "ENV":
        root.environment |= dict(item.split("=", 1) for item in Step("ENV", text, 0).items)
    elif step.word == "WORKDIR":
        root.workdir = text
        (root.path / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif step.word == "USER":
        root.user = text
    elif step.word == "ENTRYPOINT":
        root.entrypoint = step.items
    elif step.word == "RUN":
        _run(root, step.text)
    elif step.word == "COPY":
        _copy(step.items, root, made, context, passing)


def _run(root: Root, command: str) -> None:
    inside(root.path, [*root.shell, f"cd {root.workdir} && {command}"], root.environment)


def _copy(
    items: list[str], root: Root, made: dict[str, Root], context: Path, passing: frozenset[str]
) -> None:
    *sources, target = [item for item in items if not item.startswith("--")]
    stage = next((item[7:] for item in items if item.startswith("--from=")), "")
    begins = made[stage].path if stage else context
    for source in sources:
        if not stage and not any(_covers(pattern, source) for pattern in passing):
            raise InputError(f"COPY {source}: .dockerignore keeps it out")
        name = source.strip("/").removeprefix("./")
        # Of a folder, what is in it is copied.
        into = target.endswith(("/", ".")) and not (begins / name).is_dir()
        place = root.path / root.workdir.strip("/") / target if target[0] != "/" else None
        whole = place or root.path / target.strip("/")
        place = whole / Path(name).name if into else whole
        if stage:
            _copy_all(begins / name, place)
        else:
            _copy_tree(begins / name, place, ("__pycache__",))


def _covers(pattern: str, source: str) -> bool:
    return Path(source).is_relative_to(pattern)


def _copy_tree(source: Path, target: Path, skipped: Sequence[str]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        ignore = shutil.ignore_patterns(*skipped)
        shutil.copytree(source, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _copy_all(source: Path, target: Path) -> None:
    """With owners, modes and hard links; of a folder, what is in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    begins = f"{source}/." if source.is_dir() else str(source)
    run(["cp", "-a", begins, str(target)], timeout_s=300)
