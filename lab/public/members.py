"""The captures in an archive, known by how they begin."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from tracer.capture_file import blocks, classic

_MOST_BYTES = 256 << 20
_GZIP = b"\x1f\x8b"


def captures_in(archive: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each."""
    files = _zipped(archive) if archive.suffix == ".zip" else _tarred(archive)
    for name, data in files:
        if is_capture(data):
            yield name, data


def is_capture(data: bytes) -> bool:
    """Whether it is a pcap or pcapng, or a packed one."""
    head = data[:4]
    if head[:2] == _GZIP:
        try:
            head = zlib.decompressobj(wbits=31).decompress(data[: 1 << 16], 4)
        except zlib.error:
            return False
    return classic.known_magic(head) or head == blocks.SECTION.to_bytes(4, "little")


def _tarred(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as files:
        for member in files:
            stored = files.extractfile(member) if member.isfile() else None
            if stored is not None and member.size <= _MOST_BYTES:
                yield member.name, stored.read()


def _zipped(archive: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as files:
        for info in files.infolist():
            if not info.is_dir() and info.file_size <= _MOST_BYTES:
                yield info.filename, files.read(info)
