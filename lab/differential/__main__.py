"""``python -m lab.differential --seed 1 --count 500 --engine nft --family 6``; 1 if any differs."""

from __future__ import annotations

import argparse
import math
import sys
from itertools import product

from lab.differential.run import ENGINES, NATIVE, run_differential
from lab.differential.universe import FAMILIES


def main() -> int:
    """Run the engines that are asked for, all without a choice."""
    parser = argparse.ArgumentParser(prog="python -m lab.differential", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=250, help="rule sets for each engine")
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--family", type=int, choices=FAMILIES, action="append")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each, at most")
    options = parser.parse_args()
    failed = False
    for engine, family in product(options.engine or NATIVE, options.family or FAMILIES):
        report = run_differential(engine, family, options.seed, options.count, options.seconds)
        print(report.text(), flush=True)
        failed |= bool(report.differences)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
