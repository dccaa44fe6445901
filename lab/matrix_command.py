"""``python -m lab matrix``: runs on several kernels, and the page about them."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from lab.kernels import SUITES, KernelImage, ensure_kernel, processors
from lab.matrix import PROBES_FILE, UNSUPPORTED, keep, load, page
from lab.options import say
from lab.rules.apply import MODES
from lab.tools import ensure_tools
from lab.vm import CHECKOUT, VmSettings, run_in_vm
from tracer.errors import UnableError

DOCS = CHECKOUT / "docs"
FACTS, PAGE = "kernels", "kernels.md"
PROBES = ("python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "kernel",
          "tests/kernel/test_probes.py", "-o", "junit_logging=no")  # fmt: skip
SUITE = ("python", "-m", "lab", "kernel-suite", "--backend", "bpf", "--no-blackhole",
         "--tcp", "29", "--udp", "13", "--mode")  # fmt: skip
PARTS: dict[str, tuple[str, ...]] = {"probes": PROBES, **{mode: (*SUITE, mode) for mode in MODES}}
"""What is run, each in a boot of its own; fewer connections than in ``make test-kernel``."""


@click.command("matrix")
@click.option("--kernel", "kernels", multiple=True, type=click.Choice(list(SUITES)))
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)))
@click.option("--family", "families", multiple=True, type=click.Choice(["4", "6"]))
@click.option("--timeout", "timeout_s", default=900.0, show_default=True, help="of each boot")
@click.option("--first", is_flag=True, help="stop after the first kernel that stays up")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=DOCS, help="default: docs")
def matrix(
    kernels: tuple[str, ...],
    parts: tuple[str, ...],
    families: tuple[str, ...],
    timeout_s: float,
    first: bool,
    output: Path,
) -> None:
    """Run a bounded live suite on Debian's kernels; write kernels.md from what came out.

    What each part gave is kept as soon as it ends. Without --kernel nothing is run, and the page
    is made from the facts that are there.
    """
    good = True
    for series in kernels:
        ensure_tools()
        image = ensure_kernel(series, say)
        wanted = [part for part in parts or PARTS if (series, part) not in UNSUPPORTED]
        found = [_run(series, image, part, timeout_s, output, families) for part in wanted]
        good = all(found) if first else good and all(found)
        if first and None not in found:
            break
    _write_page(output)
    sys.exit(0 if good else 1)


def _write_page(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / PAGE).write_text(page(load(output / FACTS)))


def _run(
    series: str,
    image: KernelImage,
    part: str,
    timeout_s: float,
    output: Path,
    families: Sequence[str] = (),
) -> bool | None:
    """One boot; its facts are kept whatever came out. None where the guest did not last."""
    results = Path(tempfile.mkdtemp(prefix=f"viptrace-lab-{series}-"))
    say(f"{part} on {image.version}; results in {results}")
    started = time.monotonic()
    status = None
    try:
        settings = VmSettings(cpus=processors(series), timeout_s=timeout_s)
        command = _command(part, results, families)
        status = run_in_vm(image, command, results, settings)
    except UnableError as error:
        say(str(error))
    finally:
        keep(output / FACTS, series, image.version, part, results, status is not None)
        _write_page(output)
    say(f"{part} on {image.version}: status {status}, {time.monotonic() - started:.0f} s")
    return None if status is None else status == 0


def _command(part: str, results: Path, families: Sequence[str]) -> list[str]:
    if part == "probes":
        return [*PARTS[part], f"--junitxml={results / PROBES_FILE}"]
    return [*PARTS[part], *(f"--family={family}" for family in families)]
