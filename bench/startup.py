"""From nothing to probes attached, step by step: with BTF alone, and with kernel headers.

Without kprobes everything but attaching is measured. Run as root:
``python -m bench.startup``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from probes import headers
from probes.errors import ProbeError
from probes.hooks import DECISIONS
from probes.kernel import Kernel
from probes.loader import BccModule, Loader, find_bcc
from probes.program import Program, prepare

RING_PAGES = 2048
Result = TypeVar("Result")


def measured(name: str, step: Callable[[], Result]) -> Result:
    """Run a step and print its wall and processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = step()
    print(
        f"  {name:<28} {time.perf_counter() - wall:8.3f} s"
        f"   (processor {time.process_time() - cpu:7.3f} s)"
    )
    return result


def load_all(module: BccModule, program: Program) -> None:
    """Put every decision program through the verifier."""
    done: set[str] = set()
    for row in program.plan:
        if row.hook.id in DECISIONS and not row.problem and row.hook.function not in done:
            done.add(row.hook.function)
            module.load(row.hook.function, row.hook.kind)


def compile_synthetic(release: str, text: str) -> BccModule:
    """Compile against the synthetic tree."""
    with headers.synthetic(release):
        return BccModule(text)


def main() -> None:
    """All steps, then the same compile with installed headers where there are any."""
    kernel = Kernel()
    print("types from BTF, no kernel headers:")
    measured("read BTF", lambda: kernel.types)
    measured("read symbols", lambda: kernel.symbols)
    program = measured(
        "choose symbols and offsets", lambda: prepare(kernel, RING_PAGES, True, False)
    )
    measured("import bcc", find_bcc)
    module = measured("compile", lambda: compile_synthetic(kernel.release, program.text))
    measured("load (verifier)", lambda: load_all(module, program))
    module.close()
    place = headers.installed(kernel.root, kernel.release)
    if place is not None and headers.VARIABLE not in os.environ:
        print(f"with kernel headers in {place}:")
        measured("compile", lambda: BccModule(program.text)).close()
    else:
        print("with kernel headers: none are installed here")
    loader = Loader()
    print("all together, attached:")
    try:
        measured("open", loader.open)
        for step, seconds in loader.report().seconds.items():
            print(f"    {step:<26} {seconds:8.3f} s")
        measured("close", loader.close)
    except ProbeError as error:
        print(f"  not here: {error.what}")


if __name__ == "__main__":
    main()
