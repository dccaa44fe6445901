"""Records of any age in today's layout: columns are matched by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, EventRows

_NEEDED = {"time_ns", "hook", "src", "dst", "src_port", "dst_port", "protocol"}


def checked(layout: np.dtype[np.void]) -> np.dtype[np.void]:
    """The same layout; ValueError if records of it cannot be understood."""
    names = layout.names or ()
    if not _NEEDED.issubset(names):
        raise ValueError("it holds no viptrace records")
    for name in set(names) & set(EVENT.names or ()):
        if layout[name].shape != EVENT[name].shape or layout[name].base.kind not in "iu":
            raise ValueError(f"its column {name} is of another kind")
    return layout


def converted(stored: npt.NDArray[np.void]) -> EventRows:
    """The same rows in today's layout; columns that an older file lacks are zero."""
    if stored.dtype == EVENT:
        return stored
    records = np.zeros(len(stored), dtype=EVENT)
    for name in set(stored.dtype.names or ()) & set(EVENT.names or ()):
        records[name] = stored[name]
    return records
