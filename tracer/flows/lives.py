"""Two connections on the same ports are two flows: cut a batch into lives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tracer.index import Keys, together


def lives(keys: Keys, cuts: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.intp]]:
    """Index arrays, one per life: within each, no key is cut.

    ``keys`` are in time order; ``cuts`` marks the records with which a connection
    starts on ports that another one used earlier in the batch. Mostly there are none.
    """
    if not cuts.any():
        yield np.arange(len(keys))
        return
    order, first = _grouped(keys)
    started: npt.NDArray[np.int64] = np.cumsum(cuts[order])
    before: npt.NDArray[np.int64] = started - cuts[order]
    life = np.empty(len(keys), dtype=np.int64)
    life[order] = started - before[first][np.cumsum(first) - 1]
    for number in np.unique(life):
        yield np.flatnonzero(life == number)


def cuts(
    keys: Keys, starts: npt.NDArray[np.bool_], ends: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Starts that follow an earlier start or end of the same key, keys in time order."""
    if np.count_nonzero(starts) == 0:
        return starts
    order, first = _grouped(keys)
    limits = (starts | ends)[order]
    so_far: npt.NDArray[np.int64] = np.cumsum(limits) - limits
    again = np.empty(len(keys), dtype=np.bool_)
    again[order] = so_far > so_far[first][np.cumsum(first) - 1]
    return starts & again


def _grouped(keys: Keys) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Order that brings equal keys together, in time order, and where each group begins."""
    order = together(keys)
    ordered = keys[order]
    first = np.empty(len(keys), dtype=np.bool_)
    first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return order, first
