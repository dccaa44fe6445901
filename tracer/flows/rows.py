"""Provisional rows: flows known only from packets or refusals so far."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.fields import Fields
from tracer.flow import FLOW, Rows
from tracer.flows.store import FlowStore
from tracer.index import Keys, distinct
from tracer.tuples import Sides

Scopes = npt.NDArray[np.uint32]
"""Network namespace of each record as a flow key: 0 is the one viptrace looks from."""


def create(
    store: FlowStore, tuples: Sides, keys: Keys, times: npt.NDArray[np.int64], scopes: Scopes
) -> Rows:
    """One untranslated row for each distinct key; the row of every tuple given.

    ``tuples`` are in the direction client -> virtual.
    """
    first, inverse = distinct(keys)
    rest = tuples.rest[first]
    rows = Fields(FLOW, len(first))
    src, dst = tuples.src[first], tuples.dst[first]
    rows["client"], rows["source"], rows["virtual"], rows["backend"] = src, src, dst, dst
    rows["client_port"] = rows["source_port"] = rest >> np.uint64(16) & np.uint64(0xFFFF)
    rows["virtual_port"] = rows["backend_port"] = rest & np.uint64(0xFFFF)
    rows["protocol"] = rest >> np.uint64(32) & np.uint64(0xFF)
    rows["netns"] = scopes[first]
    mapped = (dst[:, 0] == 0) & (dst[:, 1] & np.uint64(0xFFFFFFFF) == np.uint64(0xFFFF0000))
    rows["family"] = np.where(mapped, 2, 10)
    rows["first_ns"] = rows["last_ns"] = times[first]
    rows["service"] = -1
    return store.begin(rows)[inverse]
