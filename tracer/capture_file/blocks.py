"""pcapng blocks: where they are, which are sound, and where to go on after damage.

Source: draft-ietf-opsawg-pcapng. Every block bears its length at both ends, which
proves it; blocks of unknown kinds are stepped over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

import numpy as np
import numpy.typing as npt

from tracer.packets.ragged import Bytes, Offsets, windows

SECTION, INTERFACE, OBSOLETE, SIMPLE, NAMES, STATISTICS, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6
JOURNAL = 9
"""A line in systemd's export format."""
BYTE_ORDER_MAGIC = 0x1A2B3C4D
LOCAL = 0x80565054
"""Blocks of a recording; types with the top bit set are for local use, others skip them."""
MAX_BLOCK_BYTES = 16 << 20
_MIN_BLOCK_BYTES = 12
_PACKETS = frozenset((ENHANCED, OBSOLETE, SIMPLE))
_DESCRIPTIONS = frozenset((INTERFACE, STATISTICS))
_UNSOUND = -1
_FIRST_SEARCH_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Run:
    """Sound blocks one after the other, within one section."""

    packets: Offsets
    """Where the blocks are that hold packets."""
    descriptions: list[int]
    """Where interface descriptions and statistics are."""
    local_blocks: list[int]
    """Where blocks of a recording are."""
    stop: int
    faulty: bool
    """What stands at ``stop`` is no sound block; else it is cut off, or another section."""


def section_order(data: bytes) -> str | None:
    """Byte order (``<`` or ``>``) of the section header that ``data`` begins with."""
    if len(data) < _MIN_BLOCK_BYTES or int.from_bytes(data[:4], "little") != SECTION:
        return None
    magic = data[8:12]
    orders = {BYTE_ORDER_MAGIC.to_bytes(4, "little"): "<", BYTE_ORDER_MAGIC.to_bytes(4, "big"): ">"}
    return orders.get(magic)


def index(data: Bytes, begin: int, end: int, order: str) -> Run:
    """The blocks in ``data[begin:end]`` up to a section header, a cut or a fault."""
    words = data[begin : begin + (end - begin) // 4 * 4].view(f"{order}u4")
    chains = _Chains(words)
    packets: list[Offsets] = []
    descriptions: list[int] = []
    local_blocks: list[int] = []
    at, faulty = 0, False
    while at + 3 <= words.size:
        chain, behind = chains.beginning(at)
        if chain.size:
            packets.append(chain)
            at = behind
            continue
        kind, size = int(words[at]), _block_words(words, at)
        faulty = kind != SECTION and size == _UNSOUND
        if kind == SECTION or size <= 0:
            break
        if kind in _PACKETS:
            packets.append(np.array([at]))
        elif kind in _DESCRIPTIONS:
            descriptions.append(begin + at * 4)
        elif kind == LOCAL:
            local_blocks.append(begin + at * 4)
        at += size
    found = np.concatenate(packets) if packets else np.zeros(0, dtype=np.int64)
    return Run(found * 4 + begin, descriptions, local_blocks, begin + at * 4, faulty)


def _block_words(words: npt.NDArray[np.uint32], at: int) -> int:
    """Size of the block at ``at``; 0 if it is cut off, ``_UNSOUND`` if it is none.

    Early writers stated lengths that are no multiple of four, and padded all the same.
    """
    length = int(words[at + 1])
    if not _MIN_BLOCK_BYTES <= length <= MAX_BLOCK_BYTES:
        return _UNSOUND
    size = (length + 3) // 4
    if at + size > words.size:
        return 0
    return size if words[at + size - 1] == length else _UNSOUND


class _Chains:
    """Enhanced packet blocks found all at once: each stretch of them that touch is a chain.

    Payload may look like a block; it is never reached, since only what begins at a
    place that is known to be a block's counts, and every link proves the next.
    """

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        at = np.flatnonzero(words[:-1] == ENHANCED)
        lengths = words[at + 1].astype(np.int64)
        sound = (lengths % 4 == 0) & (lengths >= _MIN_BLOCK_BYTES) & (lengths <= MAX_BLOCK_BYTES)
        behind = at + lengths // 4
        sound &= behind <= words.size
        at, behind, lengths = at[sound], behind[sound], lengths[sound]
        proven = words[behind - 1] == lengths
        self._at, self._behind = at[proven], behind[proven]
        self._ends = np.flatnonzero(self._at[1:] != self._behind[:-1])

    def beginning(self, at: int) -> tuple[Offsets, int]:
        """The chain that begins at a word, and the word behind it; empty if there is none."""
        first = int(np.searchsorted(self._at, at))
        if first == self._at.size or self._at[first] != at:
            return self._at[:0], at
        end = int(np.searchsorted(self._ends, first))
        last = int(self._ends[end]) if end < self._ends.size else self._at.size - 1
        return self._at[first : last + 1], int(self._behind[last])


def resume(data: Bytes, begin: int, end: int, order: str) -> int | None:
    """The next sound block or section header after ``begin``, at any byte; None if none is seen.

    The search widens step by step, so that many faults close together stay cheap.
    """
    width = _FIRST_SEARCH_BYTES
    first = begin + 1
    while first + _MIN_BLOCK_BYTES <= end:
        last = min(end, first + width)
        found = _sound(data, first, last, end, order)
        if found.size:
            return int(found[0])
        first, width = max(first + 1, last - _MIN_BLOCK_BYTES), width * 2
    return None


def _sound(data: Bytes, first: int, last: int, end: int, order: str) -> Offsets:
    """Offsets in ``data[first:last]`` where a whole block of a known kind stands."""
    every = windows(data[:end], 4).view(f"{order}u4").reshape(-1)
    kinds = every[first : max(first, last - _MIN_BLOCK_BYTES + 1)]
    known = ((kinds >= INTERFACE) & (kinds <= ENHANCED)) | (kinds == SECTION) | (kinds == LOCAL)
    at = np.flatnonzero(known) + first
    sections = at[(every[at] == SECTION) & _has_magic(every, at)]
    lengths = every[at + 4].astype(np.int64)
    whole = (lengths % 4 == 0) & (lengths >= _MIN_BLOCK_BYTES) & (at + lengths <= end)
    whole &= every[at] != SECTION
    blocks, sizes = at[whole], lengths[whole]
    blocks = blocks[every[blocks + sizes - 4] == sizes]
    return np.sort(np.concatenate([sections, blocks]))


def _has_magic(every: npt.NDArray[np.uint32], at: Offsets) -> npt.NDArray[np.bool_]:
    magic = every[at + 8]
    return (magic == BYTE_ORDER_MAGIC) | (magic == _swapped(BYTE_ORDER_MAGIC))


def _swapped(word: int) -> int:
    return int.from_bytes(word.to_bytes(4, "little"), "big")


def options(body: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(code, value) of a block's options; stops at the end mark or at damage."""
    head = Struct(f"{order}HH").unpack_from
    at = 0
    while at + 4 <= len(body):
        code, length = head(body, at)
        if code == 0 or at + 4 + length > len(body):
            return
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + (length + 3 & ~3)
