"""Rows and the keys that lead to them: allocation, lookup, eviction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Records, stacked
from tracer.fields import Fields
from tracer.flow import FLOW, Leg, Rows, Seen
from tracer.flows.tunnels import Tunnels
from tracer.index import HashIndex, Keys
from tracer.tuples import Sides, TupleHash, mirrored, sides

Legs = npt.NDArray[np.int64]

MAPPED = np.uint32(Seen.MAPPED | Seen.IPVS_NEW)
"""The kernel itself has told of the connection."""


class FlowStore:
    """``FLOW`` rows, field by field, with an index from tuple keys to (row, leg)."""

    def __init__(self, max_rows: int = 1 << 20, seed: int | None = None) -> None:
        self.flows = Fields(FLOW, 0).grown(1024)
        self.max_rows = max_rows
        self.evicted = 0
        """Rows given up to stay within ``max_rows``."""
        self.counts_packets = True
        """Whether every packet is seen, so that counting them means something."""
        self.tunnels = Tunnels()
        self.forget_early()
        self._hash = TupleHash(seed)
        self._index = HashIndex(1 << 16)
        self._free = np.arange(len(self.flows) - 1, -1, -1)
        self._free_count = len(self.flows)
        self._next_id = 1
        self._scopes: set[int] = set()

    def forget_early(self) -> None:
        """Drops that were told before any packet of their flow, with their scopes: none."""
        self.early: tuple[Records, npt.NDArray[np.uint32]] = (stacked([]), np.zeros(0, np.uint32))

    def __len__(self) -> int:
        return len(self.flows) - self._free_count

    def alive(self) -> Rows:
        """Row numbers of all living rows, ended flows included, in row order."""
        return np.flatnonzero(self.flows["alive"])

    def scopes(self) -> frozenset[int]:
        """Every network namespace that rows have been added for."""
        return frozenset(self._scopes)

    def row(self, flow_id: int) -> int:
        """Row number of a flow id, -1 when it is gone."""
        found = np.flatnonzero(self.flows["alive"] & (self.flows["id"] == flow_id))
        return int(found[0]) if found.size else -1

    def find(self, tuples: Sides) -> tuple[Rows, Legs]:
        """Row (-1 unknown) and leg of each tuple."""
        return self.find_keys(self._hash(tuples))

    def find_keys(self, keys: Keys) -> tuple[Rows, Legs]:
        """As ``find``, for tuples that are hashed already."""
        bound = self._index.lookup(keys)
        return np.where(bound >= 0, bound >> 2, -1), bound & 3

    def begin(self, rows: Fields) -> Rows:
        """Rows for new connections, each led to by its client's tuple; where they are."""
        self.make_room(len(rows))
        where = self.add(rows)
        self.flows["former"][where] = self._former(where)
        self.bind_client(where)
        return where

    def _former(self, rows: Rows) -> npt.NDArray[np.int32]:
        """1 + row of the mapping that the client tuples led to until now; 0 where to none."""
        found, legs = self.find(self.client_tuples(rows))
        mapped = self.flows["seen"][found] & MAPPED != 0
        before = np.where(mapped, found + 1, self.flows["former"][found])
        return np.where((found >= 0) & (legs == Leg.CLIENT_OUT), before, 0).astype(np.int32)

    def add(self, rows: Fields) -> Rows:
        """Store complete rows, give them ids, and return where they are."""
        where = self._take(len(rows))
        rows["id"] = np.arange(self._next_id, self._next_id + len(rows))
        rows["alive"] = 1
        self._next_id += len(rows)
        self.flows.put(where, rows)
        self._scopes.update(np.unique(rows["netns"]).tolist())
        return where

    def bind_client(self, rows: Rows) -> None:
        """Let client -> virtual and its mirror lead to these rows."""
        self._bind(rows, self.client_tuples(rows), Leg.CLIENT_OUT)

    def bind_backend(self, rows: Rows) -> None:
        """Let source -> backend and its mirror lead to these rows."""
        self._bind(rows, self.backend_tuples(rows), Leg.BACKEND_OUT)

    def unbind_backend(self, rows: Rows) -> None:
        """Forget the backend tuples of rows whose translation is about to be completed."""
        self._unbind(rows, self.backend_tuples(rows), Leg.BACKEND_OUT)

    def remove(self, rows: Rows) -> None:
        """Forget rows altogether; their numbers are used again under other ids."""
        if not rows.size:
            return
        self._unbind(rows, self.client_tuples(rows), Leg.CLIENT_OUT)
        self._unbind(rows, self.backend_tuples(rows), Leg.BACKEND_OUT)
        self.flows["alive"][rows] = False
        self._free[self._free_count : self._free_count + rows.size] = rows
        self._free_count += int(rows.size)

    def make_room(self, coming: int) -> None:
        """Evict the longest silent rows, ended ones first, when ``coming`` would not fit."""
        excess = len(self) + coming - self.max_rows
        if excess <= 0:
            return
        rows = self.alive()
        living = self.flows["ended_ns"][rows] == 0
        order = np.lexsort((self.flows["last_ns"][rows], living))
        count = min(rows.size, max(excess, self.max_rows // 16))
        self.remove(rows[order[:count]])
        self.evicted += count

    def _take(self, count: int) -> Rows:
        while self._free_count < count:
            self._grow()
        self._free_count -= count
        return self._free[self._free_count : self._free_count + count][::-1].copy()

    def _grow(self) -> None:
        size = len(self.flows)
        self.flows = self.flows.grown(size * 2)
        free = np.empty(size * 2, dtype=self._free.dtype)
        free[:size] = np.arange(size * 2 - 1, size - 1, -1)
        free[size : size + self._free_count] = self._free[: self._free_count]
        self._free, self._free_count = free, self._free_count + size

    def _bind(self, rows: Rows, tuples: Sides, leg: Leg) -> None:
        self._index.insert(self._hash(tuples), rows << 2 | leg)
        self._index.insert(self._hash(mirrored(tuples)), rows << 2 | leg + 1)

    def _unbind(self, rows: Rows, tuples: Sides, leg: Leg) -> None:
        self._index.delete(self._hash(tuples), rows << 2 | leg)
        self._index.delete(self._hash(mirrored(tuples)), rows << 2 | leg + 1)

    def client_keys(self, tuples: Sides) -> Keys:
        """Hash keys of tuples as given."""
        return self._hash(tuples)

    def client_tuples(self, rows: Rows) -> Sides:
        """client -> virtual of these rows."""
        flows = self.flows
        return sides(
            flows["client"][rows],
            flows["client_port"][rows],
            flows["virtual"][rows],
            flows["virtual_port"][rows],
            flows["protocol"][rows],
            flows["netns"][rows],
        )

    def backend_tuples(self, rows: Rows) -> Sides:
        """source -> backend of these rows."""
        flows = self.flows
        return sides(
            flows["source"][rows],
            flows["source_port"][rows],
            flows["backend"][rows],
            flows["backend_port"][rows],
            flows["protocol"][rows],
            flows["netns"][rows],
        )
