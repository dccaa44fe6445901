"""One target in the fuzzer: ``python -m fuzz.engine TARGET [ARGUMENT OF LIBFUZZER]…``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tracer"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Ends with the process; an input that raises ends it with its traceback."""
    name, *arguments = sys.argv[1:]
    target = next(target for target in TARGETS if target.name == name)
    # A merge starts itself again through a shell, by this first argument.
    atheris.Setup([f"{sys.executable} -m fuzz.engine {name}", *arguments], target.read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
