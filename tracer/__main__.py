"""``python -m tracer`` and the ``viptrace`` command."""

from __future__ import annotations

import gc
import os
import sys

# NumPy's linear algebra is not used: its threads would only keep the rights of the start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tracer.cli import run


def main() -> None:
    """Run the command line and exit with its code."""
    code = run(sys.argv[1:])
    # At its end Python would look through all that is left for cycles, for nothing.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
