"""``python -m lab install-notes``: the commands of docs/install.md, typed in fresh systems.

Each distribution whose archive this machine reaches is bootstrapped; its row's commands are run
there word for word, the wheel is installed with pipx, and what results must find bcc and the
tools, and replay a recording. Kernel probes are another matter: the kernel is this machine's.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from lab.chroot import STEP_TIMEOUT_S, inside
from lab.options import require_root, say
from lab.shell import run
from lab.tools import ensure_tools
from tracer.errors import TracerError

CHECKOUT = Path(__file__).resolve().parent.parent
NOTES = CHECKOUT / "docs" / "install.md"
INCIDENT = "pcaps/svc-no-endpoints-iptables"
ENVIRONMENT = {
    "PATH": "/root/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
_COMMAND = re.compile(r"`(apt install [^`]+)`")


@dataclass(frozen=True, slots=True)
class System:
    """A distribution's row of the notes, and where its archive is."""

    name: str
    suite: str
    sources: tuple[str, ...]
    python: str = ""
    """Which Python pipx is to take, where the first one is too old."""


_UBUNTU = "deb [trusted=yes] http://archive.ubuntu.com/ubuntu"
SYSTEMS = (
    System("Debian 12", "bookworm", ("deb http://deb.debian.org/debian bookworm main",)),
    System("Debian 13", "trixie", ("deb http://deb.debian.org/debian trixie main",)),
    System(
        "Ubuntu 24.04",
        "noble",
        (f"{_UBUNTU} noble main universe", f"{_UBUNTU} noble-updates main universe"),
    ),
    System(
        "Ubuntu 22.04",
        "jammy",
        (f"{_UBUNTU} jammy main universe", f"{_UBUNTU} jammy-updates main universe"),
        "python3.11",
    ),
)
"""Debian has no keys of Ubuntu's archive: what is fetched from there is tried, and thrown away."""


def commands(notes: str, name: str) -> list[str]:
    """What the row of a distribution says to type; "the same" is the row above."""
    above: list[str] = []
    for line in notes.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) != 4:
            continue
        cells = [above[n] if cell == "the same" and above else cell for n, cell in enumerate(cells)]
        if cells[0] == name:
            return [found for cell in cells[1:] for found in _COMMAND.findall(cell)]
        above = cells
    return []


def tried(system: System, wheel: Path, folder: Path) -> str:
    """One line: what a system has shown. Raises TracerError where a command fails."""
    root = folder / system.suite
    say(f"bootstrapping {system.name}")
    bootstrap = ["mmdebstrap", "--variant=minbase", "--include=apt", "--quiet"]
    run([*bootstrap, system.suite, str(root), *system.sources], timeout_s=STEP_TIMEOUT_S)
    shutil.copy2(wheel, root / "tmp")
    shutil.copytree(CHECKOUT / INCIDENT, root / "tmp" / "incident")
    typed = [f"{line} --yes -qq" for line in commands(NOTES.read_text(), system.name)]
    chosen = f"--python {system.python} " if system.python else ""
    for line in ("apt update -qq", *typed, f"pipx install {chosen}/tmp/{wheel.name}"):
        say(f"{system.name}: {line}")
        inside(root, ["sh", "-c", line], ENVIRONMENT)
    facts = inside(root, ["sh", "-c", "viptrace check --json || true"], ENVIRONMENT)
    told = {fact["name"]: fact for fact in map(json.loads, facts.splitlines())}
    replayed = inside(root, ["viptrace", "replay", "/tmp/incident", "--json"], ENVIRONMENT)
    summary = json.loads(replayed.splitlines()[-1])
    named = ", ".join(summary["findings"]) or "nothing"
    version = inside(root, [system.python or "python3", "--version"], ENVIRONMENT).strip()
    bcc = told["bcc"]
    verdict = "ok  " if bcc["works"] == "yes" and summary["findings"] else "FAIL"
    return f"{verdict} {system.name}: {version}; bcc: {bcc['found']}; replay names {named}"


def lines(names: tuple[str, ...], folder: Path) -> Iterator[str]:
    """A line for each system; those that begin with FAIL are failures."""
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)])
    (wheel,) = folder.glob("*.whl")
    for system in SYSTEMS:
        if names and system.name not in names:
            continue
        try:
            yield tried(system, wheel, folder)
        except TracerError as error:
            yield f"FAIL {system.name}: {error}"


@click.command("install-notes")
@click.argument("names", nargs=-1, metavar="[SYSTEM]...")
def install_notes(names: tuple[str, ...]) -> None:
    """Type the commands of docs/install.md in fresh systems: 'Debian 13', 'Ubuntu 24.04'."""
    require_root()
    ensure_tools(("mmdebstrap",))
    good = True
    with tempfile.TemporaryDirectory(prefix="viptrace-lab-") as folder:
        for line in lines(names, Path(folder)):
            print(line, flush=True)
            good = good and not line.startswith("FAIL")
    sys.exit(0 if good else 1)
