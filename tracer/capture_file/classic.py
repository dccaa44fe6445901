"""pcap: 24 bytes of file header, then records with 16 bytes before each packet.

Source: draft-ietf-opsawg-pcap. Nothing in a record proves that it is one, so the
columns of each run are checked and reading resumes where two records in a row look right.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

import numpy as np
import numpy.typing as npt

from tracer.capture_file.chunk import Chunk, Step
from tracer.capture_file.interface import Interface
from tracer.packets import Spans
from tracer.packets.ragged import Bytes, Offsets, gather, windows

HEADER_BYTES = 24
_RECORD_BYTES = 16
_MAX_CAPTURED = 262_144
"""libpcap's MAXIMUM_SNAPLEN."""
_RESUME_WITHIN_S = 7 * 86_400
"""After damage, a record is believed if its time is this near to the last one's."""

_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 6),
    b"\x4d\x3c\xb2\xa1": ("<", 9),
    b"\xa1\xb2\xc3\xd4": (">", 6),
    b"\xa1\xb2\x3c\x4d": (">", 9),
}


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What the file header says."""

    order: str
    """``<`` or ``>``."""
    digits: int
    """Decimal digits of the fraction of a second: 6 or 9."""
    link_type: int
    max_captured: int

    @property
    def layout(self) -> np.dtype[np.void]:
        """A record header."""
        names = ("seconds", "fraction", "captured", "wire")
        return np.dtype([(name, f"{self.order}u4") for name in names])


def known_magic(head: bytes) -> bool:
    """Whether a file that begins so is a pcap."""
    return head[:4] in _MAGICS


def file_header(head: bytes) -> FileHeader | None:
    """The header in the first bytes of a file; None if it is no pcap."""
    known = _MAGICS.get(head[:4])
    if known is None or len(head) < HEADER_BYTES:
        return None
    snap, link = Struct(f"{known[0]}II").unpack_from(head, 16)
    return FileHeader(*known, link & 0xFFFF, min(max(snap, _MAX_CAPTURED), 16 * _MAX_CAPTURED))


@dataclass(frozen=True, slots=True)
class Run:
    """Records that follow each other without a fault."""

    starts: Offsets
    """Where each record's header is."""
    head: npt.NDArray[np.void]
    stop: int
    """Where the next record begins, whole or not."""
    faulty: bool
    """What stands at ``stop`` cannot be a record."""


def index(data: Bytes, end: int, header: FileHeader, begin: int = 0) -> Run:
    """Records in ``data[begin:end]`` up to the first that is cut off or cannot be one."""
    lengths = Struct(f"{header.order}I").unpack_from
    view, limit, at = data.data, header.max_captured, begin
    starts: list[int] = []
    captured = 0
    while at + _RECORD_BYTES <= end:
        captured = lengths(view, at + 8)[0]
        if captured > limit or at + _RECORD_BYTES + captured > end:
            break
        starts.append(at)
        at += _RECORD_BYTES + captured
    offsets = np.array(starts, dtype=np.int64)
    head = gather(data, offsets, header.layout)
    wrong = np.flatnonzero(
        (head["fraction"] >= 10**header.digits) | (head["captured"] > head["wire"])
    )
    if wrong.size:
        first = int(wrong[0])
        return Run(offsets[:first], head[:first], starts[first], True)
    return Run(offsets, head, at, at + _RECORD_BYTES <= end and captured > limit)


def resume(data: Bytes, begin: int, end: int, header: FileHeader, last_s: int) -> int | None:
    """The next place after ``begin`` where two records in a row look right; None if none does."""
    words = windows(data[begin:end], 4).view(f"{header.order}u4").reshape(-1)
    if words.size <= 12:
        return None
    count = words.size - 12
    near = np.abs(words[:count].astype(np.int64) - last_s) <= _RESUME_WITHIN_S
    captured, wire = words[8 : 8 + count], words[12 : 12 + count]
    plausible = near & (words[4 : 4 + count] < 10**header.digits)
    plausible &= (captured <= wire) & (captured <= header.max_captured) & (captured > 0)
    at = np.flatnonzero(plausible[1:]) + 1
    following = at + _RECORD_BYTES + captured[at].astype(np.int64)
    inside = following < count
    confirmed = at[inside & plausible[np.where(inside, following, 0)]]
    return begin + int(confirmed[0]) if confirmed.size else None


class ClassicFormat:
    """One pcap file: a header, then records of one interface."""

    lost = 0
    """The format has no place for it."""

    def __init__(self) -> None:
        self.interfaces: list[Interface] = []
        self._header: FileHeader | None = None
        self._last_s = 0

    def take(self, data: Bytes, begin: int, end: int, final: bool) -> Step:
        """Read what is whole in ``data[begin:end]``."""
        if self._header is None:
            return self._begin(data, begin, end, final)
        run = index(data, end, self._header, begin)
        chunk = self._chunk(data, run, self._header) if run.starts.size else None
        if run.faulty or (final and run.stop < end):
            found = resume(data, run.stop, end, self._header, self._last_s)
            return Step(max(run.stop + 1, end - 47) if found is None else found, chunk, 1)
        return Step(run.stop, chunk, wants=run.stop == begin)

    def _begin(self, data: Bytes, begin: int, end: int, final: bool) -> Step:
        self._header = file_header(data[begin : min(end, begin + HEADER_BYTES)].tobytes())
        if self._header is None:
            return Step(end, damaged=1) if final else Step(begin, wants=True)
        self.interfaces.append(Interface("", self._header.link_type))
        return Step(begin + HEADER_BYTES)

    def _chunk(self, data: Bytes, run: Run, header: FileHeader) -> Chunk:
        head = run.head
        self._last_s = int(head["seconds"][-1])
        scale = np.int64(10 ** (9 - header.digits))
        spans = Spans(
            data,
            run.starts + _RECORD_BYTES,
            head["captured"].astype(np.int64),
            head["wire"].astype(np.uint32),
            np.full(head.size, header.link_type, dtype=np.uint16),
        )
        return Chunk(
            spans,
            head["seconds"].astype(np.int64) * 10**9 + head["fraction"].astype(np.int64) * scale,
            np.zeros(head.size, dtype=np.int64),
            np.zeros(head.size, dtype=np.bool_),
        )
