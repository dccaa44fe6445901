"""``python -m lab.public``: 1 if any capture is misread; 0, saying why, if there are none."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from lab.public.compare import Outcome, outcomes
from lab.public.fetch import DEBIAN, PYPI, Collection, fetched
from lab.public.members import captures_in

_ROW = "{:<22} {:>6} {:>9} {:>6} {:>8} {:>9} {:>7}"


def main() -> int:
    """Fetch, count, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m lab.public", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"collections; all of {DEBIAN + PYPI} without")
    wanted = parser.parse_args().names
    missing = [tool for tool in ("capinfos", "tcpdump") if not shutil.which(tool)]
    if missing:
        print(f"skipped: {' and '.join(missing)} not installed")
        return 0
    print(_ROW.format("collection", "files", "packets", "equal", "refused", "different", "s"))
    results, skipped = [], []
    for collection in fetched(lambda text: print(f"  {text}", file=sys.stderr, flush=True)):
        if wanted and collection.name.split()[0] not in wanted:
            continue
        if collection.missing:
            skipped.append(f"{collection.name}: skipped, {collection.missing}")
        else:
            results += _report(collection)
    odd = [each for each in results if each.theirs is None or not each.is_good]
    print("\n".join(["", *skipped, *map(_told, odd)]))
    print(f"{len(results)} captures, {sum(not each.is_good for each in results)} misread")
    return int(any(not each.is_good for each in results))


def _report(collection: Collection) -> list[Outcome]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="viptrace-captures-") as folder:
        files = []
        for archive in collection.archives:
            for name, data in captures_in(archive):
                path = Path(folder) / str(len(files))
                path.write_bytes(data)
                files.append((f"{collection.name}: {name}", path))
        found = outcomes(files)
    refused = sum(each.theirs is None for each in found)
    different = sum(not each.is_good for each in found)
    packets, seconds = sum(each.ours for each in found), time.monotonic() - started
    equal = len(found) - refused - different
    numbers = (len(found), packets, equal, refused, different, f"{seconds:.1f}")
    print(_ROW.format(collection.name, *numbers), flush=True)
    return found


def _told(outcome: Outcome) -> str:
    """One that the others refuse, or that is misread."""
    theirs = f"others {outcome.theirs}" if outcome.theirs is not None else "others refuse it"
    return (
        f"{'' if outcome.is_good else 'MISREAD '}{outcome.name}: {outcome.ours} packets,"
        f" {outcome.damaged} damaged, {theirs} {outcome.refusal} {outcome.failure}".rstrip()
    )


if __name__ == "__main__":
    sys.exit(main())
