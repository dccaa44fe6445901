"""Flow tuples as hashed columns: the four keys under which a flow is found."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn
from tracer.index import RESERVED, Keys

Ports = npt.NDArray[np.uint16]


class TupleHash:
    """Seeded hash of (scope, protocol, source, destination); the seed is drawn once a run.

    Packets come from tenants: without a secret seed they could choose tuples that collide.
    """

    def __init__(self, seed: int | None = None) -> None:
        base = secrets.randbits(64) if seed is None else seed
        self._seed = np.uint64(base)
        self._factors = [
            np.uint64((0x9E3779B97F4A7C15 * (2 * step + 1) ^ base << 1) & (2**64 - 1) | 1)
            for step in range(5)
        ]

    def __call__(self, sides: Sides) -> Keys:
        """One key a row, never one of the index's reserved values."""
        words = (
            sides.src[:, 0],
            sides.src[:, 1],
            sides.dst[:, 0],
            sides.dst[:, 1],
            sides.rest,
        )
        mixed = np.full(len(sides.rest), self._seed, dtype=np.uint64)
        for word, factor in zip(words, self._factors, strict=True):
            mixed ^= word
            mixed *= factor
            mixed ^= mixed >> np.uint64(32)
        return np.maximum(mixed, RESERVED)


@dataclass(frozen=True, slots=True)
class Sides:
    """Source and destination columns of n tuples, with everything else in one word."""

    src: AddressColumn
    dst: AddressColumn
    rest: npt.NDArray[np.uint64]
    """scope << 40 | protocol << 32 | source port << 16 | destination port."""


def sides(
    src: AddressColumn,
    src_port: Ports,
    dst: AddressColumn,
    dst_port: Ports,
    protocol: npt.NDArray[np.uint8],
    scope: npt.NDArray[np.uint32],
) -> Sides:
    """Columns of tuples in the direction they were seen; ports in native order."""
    rest = (
        scope.astype(np.uint64) << np.uint64(40)
        | protocol.astype(np.uint64) << np.uint64(32)
        | src_port.astype(np.uint64) << np.uint64(16)
        | dst_port.astype(np.uint64)
    )
    return Sides(src, dst, rest)


def mirrored(tuples: Sides) -> Sides:
    """The same tuples as a reply carries them."""
    low = np.uint64(0xFFFF)
    swapped = (
        tuples.rest & ~np.uint64(0xFFFFFFFF)
        | (tuples.rest & low) << np.uint64(16)
        | (tuples.rest >> np.uint64(16)) & low
    )
    return Sides(tuples.dst, tuples.src, swapped)
