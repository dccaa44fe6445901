"""``python -m lab.differential --seed 1 --count 500 --engine nft --family 6``; 1 if any differs.

Under emulation the walks take most of the time: ``--observe FOLDER`` only keeps what the kernel
did, and ``--compare FOLDER`` walks what was kept.
"""

from __future__ import annotations

import argparse
import math
import sys
from itertools import product
from pathlib import Path

from lab.differential import observe
from lab.differential.program import ENGINES, NATIVE
from lab.differential.run import Report, compared
from lab.differential.universe import FAMILIES


def main() -> int:
    """Run the engines that are asked for, all native ones without a choice."""
    options = _parser().parse_args()
    failed = False
    for engine, family in product(options.engine or NATIVE, options.family or FAMILIES):
        folder = options.compare or options.observe
        path = Path(folder) / f"{engine}-{family}-{options.seed}.ndjson" if folder else None
        if options.compare and path:
            found = observe.read(path)
        else:
            numbers = range(options.first, options.first + options.count)
            found = observe.observed(engine, family, options.seed, numbers, options.seconds)
        if options.observe and path:
            observe.write(found, path)
            print(f"{engine} IPv{family}: {len(found)} rule sets observed", flush=True)
            continue
        report = compared(Report(engine, family, options.seed), found)
        print(report.text(), flush=True)
        failed |= bool(report.differences)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.differential", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=250, help="rule sets for each engine")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number to begin with")
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--family", type=int, choices=FAMILIES, action="append")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each, at most")
    parser.add_argument("--observe", metavar="FOLDER", help="keep what the kernel did")
    parser.add_argument("--compare", metavar="FOLDER", help="walk what was kept there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
