"""Inputs that are kept: one archive for each target, the same bytes for the same inputs."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

KEPT = Path(__file__).resolve().parent / "corpus"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that an archive can hold."""


def kept(target: str) -> list[bytes]:
    """Inputs of a target, in the order of the archive; none if it was never fuzzed."""
    path = KEPT / f"{target}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def keep(target: str, inputs: Iterable[bytes]) -> int:
    """Write the archive of a target anew; how many inputs it holds."""
    named = {hashlib.sha256(data).hexdigest()[:16]: data for data in inputs}
    KEPT.mkdir(exist_ok=True)
    with zipfile.ZipFile(KEPT / f"{target}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(named):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, named[name], compresslevel=9)
    return len(named)


def unpacked(inputs: Iterable[bytes], directory: Path) -> None:
    """As files, which is how a fuzzer reads them."""
    directory.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (directory / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
