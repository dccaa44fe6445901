"""pcapng: sections, interfaces and packets out of a run of blocks."""

from __future__ import annotations

from dataclasses import replace
from struct import Struct

import numpy as np
import numpy.typing as npt

from tracer.capture_file import blocks
from tracer.capture_file.chunk import Chunk, Note, Step
from tracer.capture_file.interface import Interface
from tracer.packets import Spans
from tracer.packets.ragged import Bytes, Mask, Offsets, gather

_MAX_INTERFACES = 1 << 16
_NAME, _DESCRIPTION, _RESOLUTION, _OFFSET = 2, 3, 9, 14
_STATISTICS_DROPS = (5, 7)
"""isb_ifdrop and isb_osdrop: packets lost below and in the capturing system."""
_FLAGS, _OUTBOUND = 2, 2
_PACKET_HEAD_BYTES, _SIMPLE_HEAD_BYTES, _TRAILER_BYTES = 28, 12, 4


class ModernFormat:
    """The state that packet blocks depend on; keeps no packet."""

    def __init__(self) -> None:
        self.interfaces: list[Interface] = []
        self.lost = 0
        """Packets that the capturing system says it lost."""
        self._order = "<"
        self._base = 0
        self._last_ns = 0
        self._drops: dict[tuple[int, int], int] = {}

    def take(self, data: Bytes, begin: int, end: int, final: bool) -> Step:
        """Read what is whole in ``data[begin:end]``, at most to the end of a section."""
        first = data[begin : min(end, begin + 12)].tobytes()
        if first[:4] == blocks.SECTION.to_bytes(4, "little") and (len(first) == 12 or final):
            return self._section(data, begin, end, first, final)
        run = blocks.index(data, begin, end, self._order)
        for at in run.descriptions:
            self._describe(data, at)
        chunk, damaged = self._packets(data, run.packets)
        if run.local_blocks:
            chunk = self._with_notes(data, chunk, run.local_blocks)
        if run.faulty or (final and run.stop < end and not self._at_section(data, run.stop, end)):
            stop = self._resumed(data, run.stop, end)
            return Step(stop, chunk, damaged + 1)
        return Step(run.stop, chunk, damaged, wants=run.stop == begin)

    def _at_section(self, data: Bytes, at: int, end: int) -> bool:
        return blocks.section_order(data[at : min(end, at + 12)].tobytes()) is not None

    def _resumed(self, data: Bytes, at: int, end: int) -> int:
        found = blocks.resume(data, at, end, self._order)
        return max(at + 1, end - 11) if found is None else found

    def _section(self, data: Bytes, begin: int, end: int, first: bytes, final: bool) -> Step:
        order = blocks.section_order(first)
        length = int(Struct(f"{order or '<'}I").unpack(first[4:8])[0]) if len(first) >= 8 else 0
        sound = order is not None and length % 4 == 0 and 28 <= length <= blocks.MAX_BLOCK_BYTES
        if order is None or not sound or (final and begin + length > end):
            return Step(self._resumed(data, begin, end), damaged=1)
        if begin + length > end:
            return Step(begin, wants=True)
        self._order = order
        self._base = len(self.interfaces)
        self._drops.clear()
        return Step(begin + length)

    def _with_notes(self, data: Bytes, chunk: Chunk | None, places: list[int]) -> Chunk:
        if chunk is None:
            nothing = np.zeros(0, dtype=np.int64)
            empty = np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.uint16)
            spans = Spans(data, nothing, nothing, *empty)
            chunk = Chunk(spans, nothing, nothing, np.zeros(0, dtype=np.bool_))
        before = np.searchsorted(chunk.spans.starts, places).tolist()
        bodies = (self._body(data, at) for at in places)
        return replace(chunk, notes=tuple(map(Note, before, bodies)))

    def _body(self, data: Bytes, at: int) -> bytes:
        length = Struct(f"{self._order}I").unpack(data[at + 4 : at + 8].tobytes())[0]
        return data[at + 8 : at + length - _TRAILER_BYTES].tobytes()

    def _describe(self, data: Bytes, at: int) -> None:
        kind = Struct(f"{self._order}I").unpack(data[at : at + 4].tobytes())[0]
        body = self._body(data, at)
        if kind == blocks.INTERFACE and len(body) >= 8:
            self._describe_interface(body)
        elif kind == blocks.STATISTICS and len(body) >= 12:
            self._count_drops(body)

    def _describe_interface(self, body: bytes) -> None:
        if len(self.interfaces) - self._base >= _MAX_INTERFACES:
            return
        link_type, snap = Struct(f"{self._order}HxxI").unpack_from(body)
        said = dict(blocks.options(body[8:], self._order))
        offset, resolution = said.get(_OFFSET, b""), said.get(_RESOLUTION, b"")
        self.interfaces.append(
            Interface(
                name=_text(said.get(_NAME, b"")),
                link_type=link_type,
                snap=snap,
                resolution=resolution[0] if resolution else 6,
                offset_s=Struct(f"{self._order}q").unpack(offset)[0] if len(offset) == 8 else 0,
                description=_text(said.get(_DESCRIPTION, b"")),
            )
        )

    def _count_drops(self, body: bytes) -> None:
        """Statistics are totals so far: what is new counts."""
        interface = Struct(f"{self._order}I").unpack_from(body)[0]
        for code, value in blocks.options(body[12:], self._order):
            if code in _STATISTICS_DROPS and len(value) == 8:
                total = Struct(f"{self._order}Q").unpack(value)[0]
                before = self._drops.get((interface, code), 0)
                self._drops[interface, code] = max(total, before)
                self.lost += max(0, total - before)

    def _packets(self, data: Bytes, starts: Offsets) -> tuple[Chunk | None, int]:
        """The packets of the blocks at ``starts``, and how many of those are unsound."""
        if not starts.size:
            return None, 0
        head = gather(data, starts, _head_layout(self._order))
        usual = self._usual_packets(data, starts, head)
        return (usual, 0) if usual else self._mixed_packets(data, starts, head)

    def _usual_packets(
        self, data: Bytes, starts: Offsets, head: npt.NDArray[np.void]
    ) -> Chunk | None:
        """Enhanced packet blocks, all of them sound; None if there are others."""
        interfaces, captured = head["id"].astype(np.int64), head["captured"].astype(np.int64)
        room = head["length"].astype(np.int64) - (_PACKET_HEAD_BYTES + _TRAILER_BYTES)
        sound = (interfaces < len(self.interfaces) - self._base) & (captured <= room)
        if not (sound & (head["kind"] == blocks.ENHANCED)).all():
            return None
        begins, ids = starts + _PACKET_HEAD_BYTES, interfaces + self._base
        spans = Spans(data, begins, captured, head["wire"].astype(np.uint32), self._link_types(ids))
        outgoing = self._outgoing(data, begins + (captured + 3 & ~3), begins + room)
        times = self._times(head, ids)
        self._last_ns = int(times[-1])
        return Chunk(spans, times, ids, outgoing)

    def _mixed_packets(
        self, data: Bytes, starts: Offsets, head: npt.NDArray[np.void]
    ) -> tuple[Chunk | None, int]:
        """The same where blocks are of several kinds, or some unsound."""
        simple = head["kind"] == blocks.SIMPLE
        interfaces = np.where(head["kind"] == blocks.OBSOLETE, head["short_id"], head["id"])
        interfaces = np.where(simple, 0, interfaces).astype(np.int64)
        offset = np.where(simple, _SIMPLE_HEAD_BYTES, _PACKET_HEAD_BYTES)
        room = head["length"].astype(np.int64) - offset - _TRAILER_BYTES
        known = len(self.interfaces) - self._base
        captured = np.where(simple, np.minimum(head["id"], room), head["captured"]).astype(np.int64)
        sound = (interfaces < known) & (captured <= room) & (room >= 0)
        rows = np.flatnonzero(sound)
        bad = starts.size - rows.size
        if not rows.size:
            return None, bad
        head, simple, starts = head[rows], simple[rows], starts[rows] + offset[rows]
        ids, captured, room = interfaces[rows] + self._base, captured[rows], room[rows]
        captured = self._snapped(captured, ids, simple)
        spans = Spans(
            data,
            starts,
            captured,
            np.where(simple, head["id"], head["wire"]).astype(np.uint32),
            self._link_types(ids),
        )
        outgoing = self._outgoing(data, starts + (captured + 3 & ~3), starts + room) & ~simple
        times = self._times(head, ids)
        if simple.any():
            latest = np.maximum.accumulate(np.where(simple, -1, np.arange(ids.size)))
            times = np.where(latest < 0, self._last_ns, times[np.maximum(latest, 0)])
        self._last_ns = int(times[-1])
        return Chunk(spans, times, ids, outgoing), bad

    def _snapped(self, captured: Offsets, ids: Offsets, simple: Mask) -> Offsets:
        """A simple block states no captured length: it is what its interface allows."""
        snap = self.interfaces[self._base].snap
        return np.where(simple & (snap > 0), np.minimum(captured, snap), captured)

    def _link_types(self, ids: Offsets) -> npt.NDArray[np.uint16]:
        table = np.array([i.link_type for i in self.interfaces[self._base :]], dtype=np.uint16)
        return table[ids - self._base]

    def _outgoing(self, data: Bytes, at: Offsets, ends: Offsets) -> Mask:
        """By the flags option, where it is the first one."""
        marked = np.zeros(at.size, dtype=np.bool_)
        rows = np.flatnonzero(at + 8 <= ends)
        option = gather(data, at[rows], _option_layout(self._order))
        flagged = (option["code"] == _FLAGS) & (option["length"] == 4)
        marked[rows] = flagged & (option["value"] & 3 == _OUTBOUND)
        return marked

    def _times(self, head: npt.NDArray[np.void], ids: Offsets) -> npt.NDArray[np.int64]:
        """By each interface's own clock; a simple block has none."""
        ticks = head["high"].astype(np.uint64) << np.uint64(32) | head["low"].astype(np.uint64)
        used = (np.flatnonzero(np.bincount(ids - self._base)) + self._base).tolist()
        clocks = {(self.interfaces[at].resolution, self.interfaces[at].offset_s) for at in used}
        if len(clocks) == 1:
            return self.interfaces[used[0]].times_ns(ticks)
        times = np.zeros(ids.size, dtype=np.int64)
        for number in used:
            rows = np.flatnonzero(ids == number)
            times[rows] = self.interfaces[number].times_ns(ticks[rows])
        return times


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def _head_layout(order: str) -> np.dtype[np.void]:
    word = f"{order}u4"
    return np.dtype(
        {
            "names": ["kind", "length", "id", "short_id", "high", "low", "captured", "wire"],
            "formats": [word, word, word, f"{order}u2", word, word, word, word],
            "offsets": [0, 4, 8, 8, 12, 16, 20, 24],
            "itemsize": _PACKET_HEAD_BYTES,
        }
    )


def _option_layout(order: str) -> np.dtype[np.void]:
    fields = [("code", f"{order}u2"), ("length", f"{order}u2"), ("value", f"{order}u4")]
    return np.dtype(fields)
