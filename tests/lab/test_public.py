"""Captures of other programs: found in archives by how they begin, counted, compared."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from lab.public.compare import Outcome, outcomes
from lab.public.members import captures_in
from tests.tracer.capture_file.blocks import classic, enhanced, interface, section

PCAP = classic("<", 0xA1B2C3D4, [(1, 0, b"one"), (2, 0, b"two")])
PCAPNG = section() + interface() + enhanced(1, b"x")
FILES = {
    "tests/a.pcap": PCAP,
    "tests/b.out": PCAPNG,
    "tests/c.gz": gzip.compress(PCAPNG),
    "README": b"no capture at all",
    "docs.gz": gzip.compress(b"no capture either"),
    "broken.gz": b"\x1f\x8b broken",
    "empty": b"",
}


def archives(folder: Path) -> list[Path]:
    tar, packed = folder / "a.tar.gz", folder / "a.zip"
    with tarfile.open(tar, "w:gz") as out:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    with zipfile.ZipFile(packed, "w") as out:
        for name, data in FILES.items():
            out.writestr(name, data)
    return [tar, packed]


def test_captures_are_found_by_how_they_begin(tmp_path):
    for archive in archives(tmp_path):
        assert [name for name, _ in captures_in(archive)] == list(FILES)[:3]


@pytest.mark.skipif(
    not (shutil.which("capinfos") and shutil.which("tcpdump")), reason="no capinfos, no tcpdump"
)
def test_packets_are_counted_beside_the_others(tmp_path):
    files = []
    for name, data in {**FILES, "cut": PCAP[:-1]}.items():
        path = tmp_path / name.replace("/", "-")
        path.write_bytes(data)
        files.append((name, path))
    whole, other, packed, *_, cut = outcomes(files)
    assert [(each.ours, each.theirs) for each in (whole, other, packed)] == [(2, 2), (1, 1), (1, 1)]
    assert all(each.is_good for each in (whole, other, packed, cut))
    assert (cut.ours, cut.damaged) == (1, 1)


def test_what_is_misread_is_told():
    assert not Outcome("a", 2, 3).is_good
    assert not Outcome("a", 3, 3, failure="CRASH").is_good
    assert Outcome("a", 3, None, refusal="archaic").is_good
