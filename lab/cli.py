"""Arguments of ``python -m lab``; the only place of the lab that prints errors and exits."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from lab.churn import churn
from lab.contents import contents
from lab.diagnosis_commands import DIAGNOSIS_COMMANDS
from lab.docs import MODULE as DOCS_MODULE
from lab.docs import module as docs_module
from lab.docs import write as write_docs
from lab.error_pages import page as error_page
from lab.image import FOREIGN, MB, MIB, MOST_MB, foreign_ready, image_folder, size_bytes
from lab.image import build as build_image
from lab.image_suite import suite as run_image
from lab.incidents import pages as incident_pages
from lab.install import install_notes
from lab.kernels import ensure_kernel, processors
from lab.matrix import write_results
from lab.matrix_command import matrix
from lab.options import (
    CLUSTER,
    KERNEL,
    MODE,
    PROXY,
    TRACED_ONLY,
    compile_checkout,
    proxies_of,
    require_root,
    results_folder,
    say,
    unique_prefix,
)
from lab.playground import play
from lab.proxying import Proxies
from lab.reach import COUNT, try_all
from lab.real.commands import CLUSTER_COMMANDS
from lab.real.releases import minor
from lab.record import record
from lab.rules.apply import MODES, Mode
from lab.scenarios import SCENARIOS, chosen
from lab.suite import BACKENDS, cases, run_blackhole, run_case
from lab.tools import ensure_tools
from lab.topology import Topology
from lab.vm import VmSettings, run_in_vm
from tracer.cluster.file import load
from tracer.errors import TracerError, UnableError


@click.group()
def cli() -> None:
    """A small cluster on a real kernel: VM, namespaces, kube-proxy's rules, scenarios."""


@cli.command()
def tools() -> None:
    """Install the system tools the lab needs."""
    say("installed: " + (", ".join(ensure_tools()) or "nothing, all there"))


@cli.command(context_settings={"ignore_unknown_options": True})
@KERNEL
@click.option("--results", type=click.Path(path_type=Path), help="directory shared with the guest")
@click.option("--cpus", type=int, help="default: as many as the kernel stays up with")
@click.option("--memory", default="2G", show_default=True)
@click.option("--timeout", "timeout_s", default=3600.0, show_default=True, help="seconds")
@click.option("--hide", multiple=True, help="cover this directory inside the guest")
@click.option("--append", default="", help="further kernel parameters")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def vm(
    kernel: str,
    results: Path | None,
    cpus: int | None,
    memory: str,
    timeout_s: float,
    hide: tuple[str, ...],
    append: str,
    command: tuple[str, ...],
) -> None:
    """Boot a Debian kernel in software emulation and run COMMAND inside."""
    ensure_tools()
    image = ensure_kernel(kernel, say)
    shared = results or Path(tempfile.mkdtemp(prefix="viptrace-lab-"))
    compile_checkout()
    say(f"booting {image.version}; results in {shared}")
    started = time.monotonic()
    settings = VmSettings(cpus or processors(kernel), memory, timeout_s, append)
    status = run_in_vm(image, command, shared.resolve(), settings, hide)
    say(f"guest ran {time.monotonic() - started:.1f} s, status {status}")
    sys.exit(status)


@cli.command()
@MODE
@CLUSTER
@PROXY
@click.option("--count", default=COUNT, show_default=True, help="connections per address")
def reach(mode: Mode, cluster: Path, proxy: str, count: int) -> None:
    """Program the rules of one mode and try every kind of address with real traffic."""
    started = time.monotonic()
    with Topology(load(cluster), unique_prefix(), proxies=proxies_of(proxy)) as topology:
        say(f"namespaces and servers: {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        topology.program(mode)
        say(f"rules of {mode} mode: {time.monotonic() - started:.1f} s")
        outcomes = []
        for outcome in try_all(topology, count):
            print(outcome.line(), flush=True)
            outcomes.append(outcome)
    sys.exit(0 if all(outcome.good for outcome in outcomes) else 1)


@cli.command("scenarios")
@click.option(
    "--table",
    type=click.Path(path_type=Path, exists=True),
    metavar="PCAPS",
    help="as Markdown, with what the recordings in this folder hold",
)
def list_scenarios(table: Path | None) -> None:
    """List every scenario."""
    if table:
        print(contents(table), end="")
        return
    for scenario in SCENARIOS:
        where = "VM" if scenario.kernel_only else "any kernel"
        print(f"{scenario.name:30} {scenario.mode:9} {where:11} {scenario.title}")


@cli.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="folder")
def docs(output: Path) -> None:
    """Write one page for each cause, and what explain-cause says of reproducing it."""
    write_docs(output)
    DOCS_MODULE.write_text(docs_module())


@cli.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="folder")
def pages(output: Path) -> None:
    """Write the walks through incidents, and the list of error messages."""
    write_docs(output / "incidents", incident_pages())
    (output / "errors.md").write_text(error_page())


@cli.command("record")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="parent folder"
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "bpf", "conntrack", "none"]),
    help="who records the kernel's events",
)
@TRACED_ONLY
@PROXY
def record_scenarios(
    names: tuple[str, ...], output: Path, backend: str, traced_only: bool, proxy: str
) -> None:
    """Run scenarios (all: every one this kernel can run) and keep each in a folder of its name.

    With kube-proxy itself the folder's name ends in its release.
    """
    require_root()
    proxies = proxies_of(proxy)
    ending = "" if proxy == "written" else f"-kube-proxy-{minor(proxy)}"
    chosen_backend = "" if backend == "none" else backend
    for scenario in chosen(names):
        folder = output / f"{scenario.name}{ending}"
        only = frozenset({scenario.node} if traced_only else ())
        recording = record(scenario, folder, unique_prefix(), say, chosen_backend, proxies, only)
        say(f"{scenario.name}: recorded, kernel events from {recording.backend or 'nobody'}")


@cli.command(context_settings={"ignore_unknown_options": True})
@MODE
@CLUSTER
@click.option("--duration", default=600.0, show_default=True, help="seconds")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def playground(mode: Mode, cluster: Path, duration: float, options: tuple[str, ...]) -> None:
    """Build a cluster on this kernel, drive gentle traffic, and watch it with viptrace live.

    OPTIONS after -- go to viptrace.
    """
    require_root()
    with Topology(load(cluster), unique_prefix()) as topology:
        sys.exit(play(topology, mode, cluster, duration, options, say))


@cli.command()
@click.option("--target", default="", help="stage; default: the last")
@click.option(
    "--machine", default="", type=click.Choice(["", *FOREIGN]), help="default: this one's"
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="folder; default: the cache")
def image(target: str, machine: str, output: Path | None) -> None:
    """Build the root file system that the Dockerfile describes, without a container engine."""
    ensure_tools(("mmdebstrap", "arch-test") if machine else ("mmdebstrap",))
    if machine:
        foreign_ready(machine)
    folder = output or image_folder(target, machine)
    root = build_image(folder, say, target, machine=machine)
    size = size_bytes(root.path)
    print(f"{root.path}: {size / MB:.1f} MB ({size / MIB:.1f} MiB) unpacked")
    if size > MOST_MB * MB:
        raise UnableError(
            f"the image is larger than {MOST_MB} MB",
            "a node in trouble has to fetch it",
            "leave something out, or raise lab/image.py's MOST_MB and say so in docs/install.md",
        )


@cli.command("image-suite")
@click.option("--image", "folder", type=click.Path(path_type=Path), help="what image built")
@click.option("--mode", "modes", multiple=True, type=click.Choice(list(MODES)))
def image_suite(folder: Path | None, modes: tuple[Mode, ...]) -> None:
    """Run the built image as a node debug pod, on this kernel: check, live, explain, state."""
    require_root()
    results = Path(os.environ.get("LAB_RESULTS") or tempfile.mkdtemp(prefix="viptrace-lab-"))
    good = True
    for line in run_image(folder or image_folder(), results, unique_prefix(), modes or MODES):
        print(line, flush=True)
        good = good and not line.startswith("FAIL")
    sys.exit(0 if good else 1)


@cli.command("churn")
@MODE
@click.option("--backend", default="auto", show_default=True)
@click.option("--duration", default=7200.0, show_default=True, help="seconds")
@click.option("--max-flows", default=100_000, show_default=True)
@click.option("--pause", default=0.006, show_default=True, help="seconds between connections")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="folder")
def churn_command(
    mode: Mode, backend: str, duration: float, max_flows: int, pause: float, output: Path
) -> None:
    """Trace for hours under churn; memory, descriptors and counters must hold."""
    require_root()
    prefix = unique_prefix()
    outcome = churn(mode, backend, duration, max_flows, pause, output, prefix, say)
    for line in outcome.lines():
        print(line)
    for fault in outcome.faults():
        print(f"FAIL {fault}")
    sys.exit(1 if outcome.faults() else 0)


@cli.command("kernel-suite")
@click.option("--mode", "modes", multiple=True, type=click.Choice(list(MODES)))
@click.option("--family", "families", multiple=True, type=click.Choice([4, 6]))
@click.option("--backend", "backends", multiple=True, type=click.Choice(list(BACKENDS)))
@click.option("--tcp", default=997, show_default=True)
@click.option("--udp", default=499, show_default=True)
@click.option("--blackhole/--no-blackhole", default=True, help="the swallowed control plane, too")
@PROXY
def kernel_suite(
    modes: tuple[Mode, ...],
    families: tuple[int, ...],
    backends: tuple[str, ...],
    tcp: int,
    udp: int,
    blackhole: bool,
    proxy: str,
) -> None:
    """The acceptance, on this kernel: flows counted and compared with the kernel's own tables."""
    require_root()
    folder = results_folder()
    results, proxies = [], proxies_of(proxy)
    for case in cases(modes or MODES, families or (4, 6), backends or BACKENDS):
        counted = replace(case, tcp=tcp, udp=udp)
        result = run_case(counted, folder / case.name, unique_prefix(), proxies)
        results.append(result)
        write_results(results, folder)
        print(result.line(), flush=True)
        if not result.good:
            print(result.comparison.report() if result.comparison else result.failure, flush=True)
    good = all(result.good for result in results)
    if blackhole and (not modes or "ipvs" in modes):
        for backend in backends or BACKENDS:
            good = blackhole_line(backend, folder, proxies) and good
    sys.exit(0 if good else 1)


def blackhole_line(backend: str, folder: Path, proxies: Proxies) -> bool:
    """Print the blackhole's line of the table; whether it is good."""
    name = f"blackhole-{backend}"
    try:
        print(run_blackhole(backend, folder / name, unique_prefix(), proxies), flush=True)
    except UnableError as error:
        print(f"FAIL {name}\n{error}", flush=True)
        return False
    return True


for _command in (*CLUSTER_COMMANDS, *DIAGNOSIS_COMMANDS, install_notes, matrix):
    cli.add_command(_command)


def main() -> None:
    """Entry point of ``python -m lab``; being ended cleans up like Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except TracerError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
