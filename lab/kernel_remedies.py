"""Remedies of what only the VM can show: followed there some at a boot, with probes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.kernels import KernelImage
from lab.remedied import followed
from lab.scenarios import BY_NAME
from lab.vm import VmSettings, run_in_vm
from tracer.errors import InputError, UnableError

Say = Callable[[str], None]
LOG = "remedies.ndjson"
AT_A_BOOT = 8
SETTINGS = VmSettings(memory="4G", timeout_s=3600.0)
"""Some incidents at once, each with its own probes: two to four minutes for each."""
TEST = "tests/lab/test_remedies.py"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one incident went."""

    name: str
    why: str
    """Empty where it went well."""
    seconds: float = 0.0

    def line(self) -> str:
        """For people."""
        if self.why:
            return f"FAIL {self.name}: {self.why}"
        return f"ok   {self.name} in {self.seconds:.0f} s"


def wanted(names: Sequence[str]) -> list[str]:
    """Those named, or all there are."""
    known = followed(kernel_only=True)
    if strange := sorted(set(names) - set(known)):
        raise InputError(
            f"no such incident for the VM: {', '.join(strange)}", f"there are: {', '.join(known)}"
        )
    return list(names) or known


def boots(
    names: Sequence[str], backend: str, image: KernelImage, output: Path, say: Say
) -> list[Outcome]:
    """Boot by boot; one that ends early loses only what had not ended by then."""
    outcomes = []
    for first in range(0, len(names), AT_A_BOOT):
        chunk = names[first : first + AT_A_BOOT]
        folder = output / f"{first // AT_A_BOOT + 1}"
        (folder / LOG).unlink(missing_ok=True)
        try:
            run_in_vm(image, command(chunk, backend), folder.resolve(), SETTINGS)
        except UnableError as error:
            say(f"{error}")
        for outcome in read(folder / LOG, chunk):
            say(outcome.line())
            outcomes.append(outcome)
    return outcomes


def command(names: Sequence[str], backend: str) -> list[str]:
    """What the guest runs."""
    which = " or ".join(f"[{name}]" for name in names)
    options = ("-p", "no:cacheprovider", "-m", "kernel_remedies", "-k", which)
    return ["env", f"LAB_BACKEND={backend}", "python", "-m", "pytest", *options, TEST]


def read(log: Path, names: Sequence[str]) -> Iterator[Outcome]:
    """How each went, of those too that never ended."""
    text = log.read_text() if log.exists() else ""
    told = {line["name"]: line for line in map(json.loads, text.splitlines())}
    for name in names:
        yield _judged(told[name]) if name in told else Outcome(name, "did not end")


def _judged(line: Mapping[str, object]) -> Outcome:
    name, failed = str(line["name"]), str(line.get("failed", ""))
    if failed:
        return Outcome(name, failed)
    found = line["found"]
    beside = set(found if isinstance(found, list) else ()) - set(BY_NAME[name].findings)
    why = f"said beside it: {', '.join(sorted(beside))}" if beside else ""
    return Outcome(name, why, float(str(line["seconds"])))
