"""Commands about what viptrace says: from recordings, and of healthy traffic."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lab.causes import page
from lab.kernel_remedies import boots, wanted
from lab.kernels import ensure_kernel
from lab.options import (
    KERNEL,
    MODE,
    compile_checkout,
    require_root,
    results_folder,
    say,
    unique_prefix,
)
from lab.rules.apply import Mode
from lab.soak import soak as run_soak
from lab.suite import BACKENDS
from lab.tools import ensure_tools
from lab.verdicts import collect, write
from tracer.errors import UnableError

VERDICTS = "verdicts.ndjson"


@click.command()
@click.option("--pcaps", type=click.Path(path_type=Path, exists=True), default=Path("pcaps"))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="write the page here, and print it"
)
def causes(pcaps: Path, output: Path | None) -> None:
    """What shows which cause: judge every recording from each input, and print the tables."""
    verdicts = []
    for verdict in collect(pcaps):
        say(f"{verdict.scenario}: {', '.join(verdict.found['bpf']) or 'nothing'}")
        verdicts.append(verdict)
    write(pcaps / VERDICTS, verdicts)
    text = page(verdicts)
    if output:
        output.write_text(text)
    print(text, end="")
    wrong = [v.scenario for v in verdicts if v.false_alarms]
    if wrong:
        raise UnableError("causes were named that were not there", ", ".join(wrong))


@click.command()
@MODE
@click.option("--backend", default="conntrack", show_default=True, type=click.Choice(BACKENDS))
@click.option("--count", default=100_000, show_default=True, help="connections")
@click.option(
    "--record",
    is_flag=True,
    help="leave a recording, and look for each of its mappings in what was printed",
)
def soak(mode: Mode, backend: str, count: int, record: bool) -> None:
    """Healthy connections of many kinds under live tracing; nothing may be said of them."""
    require_root()
    folder = results_folder() / "soak"
    outcome = run_soak(mode, backend, count, folder, unique_prefix(), say, record)
    print("\n".join(outcome.lines()), flush=True)
    sys.exit(0 if outcome.good else 1)


@click.command("kernel-remedies")
@KERNEL
@click.argument("names", nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="folder")
@click.option("--backend", default="bpf", show_default=True, type=click.Choice(BACKENDS))
def kernel_remedies(kernel: str, names: tuple[str, ...], output: Path, backend: str) -> None:
    """Follow the printed remedies of NAMES (default: all that need the VM), some at a boot."""
    asked = wanted(names)
    ensure_tools()
    image = ensure_kernel(kernel, say)
    compile_checkout()
    outcomes = boots(asked, backend, image, output, say)
    bad = sum(bool(outcome.why) for outcome in outcomes)
    say(f"{len(outcomes) - bad} of {len(outcomes)} remedies mend what they were printed for")
    sys.exit(1 if bad else 0)


DIAGNOSIS_COMMANDS = (causes, soak, kernel_remedies)
