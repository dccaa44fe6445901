"""(address, port, protocol) -> number, for whole columns at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tracer import address
from tracer.address import AddressColumn
from tracer.index import RESERVED, HashIndex

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]

CHUNK = 1 << 15
"""Rows looked up at once: what is in between stays in the processor's cache."""


def rest(ports: npt.NDArray[np.uint16], protocols: npt.NDArray[np.uint8]) -> Words:
    """Everything of a key but the address, in one word; see ``rest_of``."""
    return ports.astype(np.uint64) << np.uint64(8) | protocols.astype(np.uint64)


def rest_of(port: int, protocol: int) -> int:
    """The same for one key."""
    return port << 8 | protocol


class KeyTable:
    """Immutable after it is made; a hash only proposes, the whole key decides."""

    def __init__(self, entries: Mapping[tuple[bytes, int], int]) -> None:
        """Entries are (16 packed bytes, rest) -> number."""
        self._addresses = address.column(packed for packed, _ in entries)
        self._rest = np.fromiter((word for _, word in entries), np.uint64, len(entries))
        self._values = np.fromiter(entries.values(), np.int32, len(entries))
        while not self._indexed():
            pass

    def _indexed(self) -> bool:
        """Index the keys under a new seed; False if two of them collide."""
        self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(3)]
        positions = np.arange(len(self._values))
        self._index = HashIndex(1 << max(4, 2 * len(positions)).bit_length())
        hashes = self._hashes(self._addresses, self._rest)
        self._index.insert(hashes, positions)
        return bool((self._index.lookup(hashes) == positions).all())

    def _hashes(self, addresses: AddressColumn, rest: Words) -> Words:
        mixed = np.zeros(len(rest), dtype=np.uint64)
        words = (addresses[:, 0], addresses[:, 1], rest)
        for word, factor in zip(words, self._factors, strict=True):
            mixed ^= word
            mixed *= factor
            mixed ^= mixed >> np.uint64(32)
        return np.maximum(mixed, RESERVED)

    def find(self, addresses: AddressColumn, rest: Words) -> Numbers:
        """The number of each key, -1 where there is none."""
        found = np.full(len(rest), -1, dtype=np.int32)
        if self._values.size:
            for start in range(0, len(rest), CHUNK):
                part = slice(start, start + CHUNK)
                found[part] = self._find(addresses[part], rest[part])
        return found

    def _find(self, addresses: AddressColumn, rest: Words) -> Numbers:
        positions = self._index.lookup(self._hashes(addresses, rest))
        known = np.flatnonzero(positions >= 0)
        at = positions[known]
        same = (self._rest[at] == rest[known]) & (self._addresses[at] == addresses[known]).all(1)
        found = np.full(len(rest), -1, dtype=np.int32)
        found[known[same]] = self._values[at[same]]
        return found
