"""Every bench, one after the other: ``python -m bench`` for figures, ``--smoke`` for seconds.

A smoke run is small and says only whether each bench still runs. Compare ratios within one run.
"""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple


class Bench(NamedTuple):
    """One module of this folder, with its arguments for figures and for a smoke run."""

    module: str
    full: tuple[str, ...]
    smoke: tuple[str, ...]


BENCHES = (
    Bench("bench.decode", (), ("16384",)),
    Bench("bench.flows", ("1000000",), ("20000",)),
    Bench("bench.state", (), ("50",)),
    Bench("bench.ring", (), ("1",)),
    Bench("bench.screen", (), ("2000",)),
    Bench("bench.startup", (), ()),
    Bench("bench.overhead", (), ("--connections", "50", "--trips", "100", "--rounds", "1")),
    Bench("bench.pairing", (), ("300",)),
    Bench("bench.replay", (), ("300", "2")),
    Bench("bench.cluster", (), ("200", "1")),
)


def main(smoke: bool) -> int:
    """The number of benches that failed."""
    failed = 0
    for bench in BENCHES:
        print(f"== {bench.module}", flush=True)
        arguments = bench.smoke if smoke else bench.full
        command = [sys.executable, "-m", bench.module, *arguments]
        failed += subprocess.run(command, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main("--smoke" in sys.argv[1:]))
