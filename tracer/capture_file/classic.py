"""pcap: 24 bytes of file header, then records with 16 bytes before each packet.

Source: draft-ietf-opsawg-pcap; the variants are those of libpcap's sf-pcap.c and Wireshark's
wiretap. Nothing in a record proves that it is one, so records that look wrong count only while
they lead to others, and reading resumes where two in a row look right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from struct import Struct

import numpy as np
import numpy.typing as npt

from tracer.capture_file.chunk import Chunk, Step
from tracer.capture_file.interface import Interface
from tracer.packets import Spans
from tracer.packets.ragged import Bytes, Offsets, gather, windows

HEADER_BYTES = 24
_RECORD_BYTES, _PATCHED_RECORD_BYTES = 16, 24
_LENGTHS_IN_ORDER_SINCE = (2, 4)
"""Before, the two lengths of a record may stand the other way round."""
_DG_UX = (543, 0)
_MAX_CAPTURED = 262_144
"""libpcap's MAXIMUM_SNAPLEN."""
_SEARCHED_BYTES = 48
"""A record's header may begin within the last ones of what has been searched."""
_RESUME_WITHIN_S = 7 * 86_400
"""After damage, a record is believed if its time is this near to the last one's."""

_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 6),
    b"\x4d\x3c\xb2\xa1": ("<", 9),
    b"\xa1\xb2\xc3\xd4": (">", 6),
    b"\xa1\xb2\x3c\x4d": (">", 9),
    b"\x34\xcd\xb2\xa1": ("<", 6),
    b"\xa1\xb2\xcd\x34": (">", 6),
    b"\xac\x01\x00\x1c": ("<", 6),
    b"\x1c\x00\x01\xac": (">", 6),
    b"\xab\x01\x00\x1c": ("<", 6),
    b"\x1c\x00\x01\xab": (">", 6),
}
_PATCHED = (b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34")
"""Kuznetzov's: eight bytes more before each packet tell of its interface and protocol."""
_IXIA_MARKS = (b"\x01\x00\x1c", b"\x1c\x00\x01")
"""Ixia's: the file header ends with the size of all records."""


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What the file header says."""

    order: str
    """``<`` or ``>``."""
    digits: int
    """Decimal digits of the fraction of a second: 6 or 9."""
    link_type: int
    max_captured: int
    record_bytes: int = _RECORD_BYTES
    """Before each packet."""
    size: int = HEADER_BYTES
    lengths_in_order: bool = True
    """The captured length stands before the one on the wire; else either may."""

    @property
    def layout(self) -> np.dtype[np.void]:
        """What every record begins with."""
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
    major, minor, snap, link = Struct(f"{known[0]}HH8xII").unpack_from(head, 4)
    ixia = head[1:4] == _IXIA_MARKS[0] or head[:3] == _IXIA_MARKS[1]
    return FileHeader(
        *known,
        link & 0xFFFF,
        min(max(snap, _MAX_CAPTURED), 16 * _MAX_CAPTURED),
        _PATCHED_RECORD_BYTES if head[:4] in _PATCHED else _RECORD_BYTES,
        HEADER_BYTES + 4 * ixia,
        (major, minor) >= _LENGTHS_IN_ORDER_SINCE and (major, minor) != _DG_UX,
    )


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
    starts, at, captured = _chain(data, end, header, begin)
    offsets = np.array(starts, dtype=np.int64)
    head = gather(data, offsets, header.layout)
    if not header.lengths_in_order:
        first, second = head["captured"].copy(), head["wire"].copy()
        head["captured"], head["wire"] = np.minimum(first, second), np.maximum(first, second)
    return Run(offsets, head, at, captured > header.max_captured)


def _chain(data: Bytes, end: int, header: FileHeader, begin: int) -> tuple[list[int], int, int]:
    """Where records begin, where the last ends, and the captured length of what stands there."""
    lengths = Struct(f"{header.order}II").unpack_from
    view, limit, size, at = data.data, header.max_captured, header.record_bytes, begin
    in_order = header.lengths_in_order
    starts: list[int] = []
    captured = 0
    while at + size <= end:
        captured, wire = lengths(view, at + 8)
        if not in_order:
            captured = min(captured, wire)
        if captured > limit or at + size + captured > end:
            break
        starts.append(at)
        at += size + captured
    return starts, at, captured


def _trusted(run: Run, header: FileHeader) -> Run:
    """Without the odd records at the end: what they lead to was no record."""
    sound = np.flatnonzero(~_is_odd(run.head, header))
    count = int(sound[-1]) + 1 if sound.size else 0
    stop = int(run.starts[count]) if count < run.starts.size else run.stop
    return Run(run.starts[:count], run.head[:count], stop, run.faulty)


def _is_odd(head: npt.NDArray[np.void], header: FileHeader) -> npt.NDArray[np.bool_]:
    """Records that no capturing program writes, though others may have changed a file so."""
    empty = (head["captured"] == 0) & (head["wire"] == 0)
    late = head["fraction"] >= 10**header.digits
    return np.asarray(empty | late | (head["captured"] > head["wire"]))


def resume(data: Bytes, begin: int, end: int, header: FileHeader, last_s: int) -> int | None:
    """The next place after ``begin`` where two records in a row look right; None if none does."""
    words = windows(data[begin:end], 4).view(f"{header.order}u4").reshape(-1)
    if words.size <= 12:
        return None
    count = words.size - 12
    near = np.abs(words[:count].astype(np.int64) - last_s) <= _RESUME_WITHIN_S
    captured, wire = words[8 : 8 + count], words[12 : 12 + count]
    if not header.lengths_in_order:
        captured, wire = np.minimum(captured, wire), np.maximum(captured, wire)
    plausible = near & (words[4 : 4 + count] < 10**header.digits)
    plausible &= (captured <= wire) & (captured <= header.max_captured) & (captured > 0)
    at = np.flatnonzero(plausible[1:]) + 1
    following = at + header.record_bytes + captured[at].astype(np.int64)
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
        self._searching = False
        """Behind damage: nothing that looks right has been found yet."""

    def take(self, data: Bytes, begin: int, end: int, final: bool) -> Step:
        """Read what is whole in ``data[begin:end]``."""
        if self._header is None:
            return self._begin(data, begin, end, final)
        if self._searching:
            return self._search(data, begin - 1, end, final)
        run = index(data, end, self._header, begin)
        lost = run.faulty or (final and run.stop < end)
        if run.faulty or (final and run.stop + self._header.record_bytes <= end):
            run = _trusted(run, self._header)
        chunk = self._chunk(data, run, self._header) if run.starts.size else None
        if lost:
            return replace(self._search(data, run.stop, end, final), chunk=chunk)
        return Step(run.stop, chunk, wants=run.stop == begin)

    def _search(self, data: Bytes, after: int, end: int, final: bool) -> Step:
        """Go on where two records in a row look right; what is too near the end waits for more."""
        assert self._header is not None, "records follow the header"
        found = resume(data, after, end, self._header, self._last_s)
        self._searching = found is None
        if found is not None:
            return Step(found, damaged=1)
        if final:
            return Step(end, damaged=1)
        stop = max(after + 1, end - _SEARCHED_BYTES + 1)
        return Step(stop, damaged=1, wants=stop == after + 1)

    def _begin(self, data: Bytes, begin: int, end: int, final: bool) -> Step:
        header = file_header(data[begin : min(end, begin + HEADER_BYTES)].tobytes())
        if header is None or begin + header.size > end:
            return Step(end, damaged=1) if final else Step(begin, wants=True)
        self._header = header
        self.interfaces.append(Interface("", header.link_type))
        return Step(begin + header.size)

    def _chunk(self, data: Bytes, run: Run, header: FileHeader) -> Chunk:
        head = run.head
        sound = np.flatnonzero(~_is_odd(head, header))
        if sound.size:
            self._last_s = int(head["seconds"][sound[-1]])
        scale = np.int64(10 ** (9 - header.digits))
        spans = Spans(
            data,
            run.starts + header.record_bytes,
            head["captured"].astype(np.int64),
            np.maximum(head["wire"], head["captured"]).astype(np.uint32),
            np.full(head.size, header.link_type, dtype=np.uint16),
        )
        return Chunk(
            spans,
            head["seconds"].astype(np.int64) * 10**9 + head["fraction"].astype(np.int64) * scale,
            np.zeros(head.size, dtype=np.int64),
            np.zeros(head.size, dtype=np.bool_),
        )
