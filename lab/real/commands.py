"""The commands that need kube-proxy itself, or recordings of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from lab.kernels import ensure_kernel
from lab.options import (
    ACCESS,
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
from lab.real.releases import CURRENT, RELEASES
from lab.real.suite import run_beside, why_skipped
from lab.rolling import roll
from lab.rules.apply import MODES, Mode
from lab.rules.differences import compared, listed_by_kernel
from lab.scenario import Scenario
from lab.scenarios import chosen, left_out
from lab.vm import VmSettings
from lab.watched import watch
from tracer.errors import UnableError


@click.command("why-no-cluster")
def why_no_cluster() -> None:
    """Say why kube-proxy itself cannot be run here; nothing where it can."""
    print(why_skipped((CURRENT,)), end="")


@click.command("with-api", context_settings={"ignore_unknown_options": True})
@KERNEL
@click.option("--vm/--native", "in_vm", default=False, help="where COMMAND runs")
@click.option("--proxy", "releases", multiple=True, default=[CURRENT], type=click.Choice(RELEASES))
@click.option("--results", type=click.Path(path_type=Path), help="directory shared with the guest")
@click.option("--memory", default="3G", show_default=True)
@click.option("--timeout", "timeout_s", default=3600.0, show_default=True, help="seconds")
@click.option("--skip/--no-skip", default=False, help="where it cannot be built: say why, succeed")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def with_api(
    kernel: str,
    in_vm: bool,
    releases: tuple[str, ...],
    results: Path | None,
    memory: str,
    timeout_s: float,
    skip: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND beside an API server, with kube-proxy at hand: built from Go modules, cached."""
    require_root()
    why = why_skipped(releases)
    if why and skip:
        print(f"skipped: {why}")
        return
    shared = (results or Path(tempfile.mkdtemp(prefix="viptrace-lab-"))).resolve()
    image = None
    if in_vm:
        image = ensure_kernel(kernel, say)
        compile_checkout()
    settings = VmSettings(2, memory, timeout_s, network=True)
    sys.exit(run_beside(command, releases, shared, image, settings, ACCESS, say))


@click.command("compare-rules")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def compare_rules(folders: tuple[Path, ...]) -> None:
    """Compare the rules that the lab writes with those of recordings of kube-proxy itself.

    nftables mode needs root: the kernel lists the lab's rules in kube-proxy's spelling.
    """
    good = True
    for folder in folders:
        found = list(compared(folder, partial(listed_by_kernel, f"{unique_prefix()}-rules")))
        good = good and not found
        print(f"{'FAIL' if found else 'ok  '} {folder.name}: {len(found)} differences", flush=True)
        print("".join(f"  {line}\n" for line in found), end="")
    sys.exit(0 if good else 1)


@click.command("rollout")
@MODE
@PROXY
@click.option("--backend", default="auto", show_default=True)
def rollout(mode: Mode, proxy: str, backend: str) -> None:
    """Scale to nothing and back under load; every translation is held against the slices."""
    require_root()
    outcome = roll(mode, backend, results_folder(), unique_prefix(), proxies_of(proxy), say)
    print("\n".join(outcome.lines()))
    sys.exit(1 if outcome.faults else 0)


@click.command("watch")
@click.argument("names", nargs=-1, required=True)
@click.option("--mode", "modes", multiple=True, type=click.Choice(list(MODES)))
@click.option("--backend", default="auto", show_default=True)
@TRACED_ONLY
@PROXY
def watch_scenarios(
    names: tuple[str, ...], modes: tuple[Mode, ...], backend: str, traced_only: bool, proxy: str
) -> None:
    """Trace scenarios live and judge what is said of them.

    NAMES: "all" is every one this kernel can run, "vm" every one that needs the VM.
    """
    require_root()
    folder, proxies, good = results_folder(), proxies_of(proxy), True
    for scenario in _in_modes(chosen(names), modes):
        only = frozenset({scenario.node} if traced_only else ())
        home = folder / scenario.name
        try:
            told = watch(scenario, backend, home, unique_prefix(), proxies, only)
            good = good and not told.faults
            print("\n".join(told.lines()), flush=True)
        except UnableError as error:
            good = False
            print(f"FAIL {scenario.name}\n{error}", flush=True)
    if rest := [scenario.name for scenario in _in_modes(left_out(names), modes)]:
        print(f"not on this kernel, but in the VM: {', '.join(rest)}")
    sys.exit(0 if good else 1)


def _in_modes(scenarios: Sequence[Scenario], modes: Sequence[Mode]) -> list[Scenario]:
    """Those of these modes; no modes: of any."""
    return [scenario for scenario in scenarios if not modes or scenario.mode in modes]


CLUSTER_COMMANDS = (why_no_cluster, with_api, compare_rules, rollout, watch_scenarios)
