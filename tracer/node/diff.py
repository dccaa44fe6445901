"""Two readings of one table: which connections are new, and which are gone."""

from __future__ import annotations

import numpy as np

from tracer.events import EVENT, EventRows, no_records
from tracer.index import Keys
from tracer.tuples import TupleHash, sides


class TableDiff:
    """Remembers the last reading by 64-bit keys.

    Two connections with the same key would hide each other; at 100,000 connections that
    is one chance in three thousand million a reading, and nobody can choose it: the hash
    is seeded.
    """

    def __init__(self, *, by_backend: bool) -> None:
        """``by_backend``: the same client tuple with another backend is another connection."""
        self._hash = TupleHash()
        self._by_backend = by_backend
        self._keys: Keys = np.zeros(0, dtype=np.uint64)
        self._records = no_records()

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, records: EventRows) -> tuple[EventRows, EventRows]:
        """(new, gone) between the last reading and this one, which is remembered."""
        keys = self._keys_of(records)
        new = records[~np.isin(keys, self._keys)]
        gone = self._records[~np.isin(self._keys, keys)]
        self._keys, self._records = keys, records
        return new, gone

    def retain(self, records: EventRows) -> EventRows:
        """Forget, and return, what is not in this reading any more; take in nothing new."""
        stays = np.isin(self._keys, self._keys_of(records))
        gone = self._records[~stays]
        self._keys, self._records = self._keys[stays], self._records[stays]
        return gone

    def _keys_of(self, records: EventRows) -> Keys:
        keys = self._side_keys(records, "src", "dst")
        if self._by_backend:
            keys = keys * np.uint64(0x9E3779B97F4A7C15) ^ self._side_keys(
                records, "nat_src", "nat_dst"
            )
        return keys

    def _side_keys(self, records: EventRows, source: str, destination: str) -> Keys:
        return self._hash(
            sides(
                records[source],
                records[f"{source}_port"].astype(np.uint16),
                records[destination],
                records[f"{destination}_port"].astype(np.uint16),
                records["protocol"],
                records["netns"],
            )
        )


def ended(records: EventRows, hook: int, time_ns: int) -> EventRows:
    """The same connections as records of their end."""
    result = np.zeros(len(records), dtype=EVENT)
    result[:] = records
    result["hook"] = hook
    result["time_ns"] = time_ns
    return result
