"""Pairing from packets alone, judged by known truth: precision, recall, packets a second.

Run as ``python -m bench.pairing [connections]``. Precision counts every translation told;
recall asks for each translated flow of which both ends were captured.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.captures import records_of
from bench.traffic import MAX_LEGS, TUPLE, Recipe, Traffic, traffic
from tracer.events import Protocol, Records, stacked
from tracer.pairing import Pairer

_BATCH = 32_768
_MS = 1_000_000

CASES = {
    "complete": {},
    "5 % lost": {"lost": 0.05},
    "20 % lost": {"lost": 0.2},
    "stamped up to 2 ms late": {"jitter_ns": 2 * _MS},
    "clocks 20 ms apart": {"skew_ns": 20 * _MS},
    "ports used again": {"reused": 0.4},
    "10 % seen twice": {"duplicated": 0.1},
    "no IDs, no timestamps": {"unnumbered": 1.0, "untimed": 1.0},
    "IPv6 only, no timestamps": {"version_6": 1.0, "untimed": 1.0},
    "ten times the rate": {"seconds": 0.1},
    "senders of the same bytes": {"alike": 1.0, "unnumbered": 1.0},
    "the same, 20 % lost": {"alike": 1.0, "unnumbered": 1.0, "lost": 0.2},
    "everything at once": {
        "lost": 0.05,
        "jitter_ns": 2 * _MS,
        "skew_ns": 10 * _MS,
        "reused": 0.2,
        "duplicated": 0.1,
        "alike": 0.2,
        "unnumbered": 0.6,
        "untimed": 0.5,
        "seconds": 0.2,
    },
}
"""What is hard about each capture, as changes to the recipe; seconds as a share of usual."""

_IDENTITY = np.dtype([("before", TUPLE), ("after", TUPLE), ("protocol", "u1")])
_LEGS = ((0, 1), (0, 2), (1, 2))
"""A chain of two translations may be told of in part where the rest was not captured."""


@dataclass(frozen=True, slots=True)
class Score:
    """How the told translations compare with the truth."""

    told: int
    right: int
    sought: int
    found: int

    @property
    def precision(self) -> float:
        """Share of the told translations that are true."""
        return self.right / self.told if self.told else 1.0

    @property
    def recall(self) -> float:
        """Share of the translations to be seen that were told."""
        return self.found / self.sought if self.sought else 1.0


def paired(records: Records, batch: int = _BATCH, seed: int | None = None) -> Records:
    """What a pairer tells of records that come in batches."""
    pairer = Pairer(seed=seed)
    told = [pairer.feed(records[at : at + batch]) for at in range(0, len(records), batch)]
    return stacked([*told, pairer.finish()])


def score(made: Traffic, told: Records) -> Score:
    """Compare; a first sequence number must be the right one, or unknown."""
    flows, seen = made.flows, made.sightings
    captured = np.zeros((flows.size, MAX_LEGS), dtype=np.bool_)
    captured[seen["flow"], seen["leg"]] = True
    sought = np.flatnonzero(captured[:, 0] & captured[:, 1:].any(axis=1))
    true, given = defaultdict(set), defaultdict(set)
    for first, second in _LEGS:
        rows = np.flatnonzero(flows["leg_count"] > second)
        for name, number in zip(_true(flows[rows], first, second), rows.tolist(), strict=True):
            true[name].add(_sequence(flows[number]))
    names, sequences = _told(told), told["seq"].tolist()
    for name, sequence in zip(names, sequences, strict=True):
        given[name].add(sequence)
    right = sum(
        name in true and (not sequence or sequence in true[name])
        for name, sequence in zip(names, sequences, strict=True)
    )
    wanted = np.zeros(sought.size, dtype=np.bool_)
    for first, second in _LEGS[:2]:
        names = _true(flows[sought], first, second)
        hits = [
            bool(given.get(name, set()) & {0, _sequence(flow)})
            for name, flow in zip(names, flows[sought], strict=True)
        ]
        wanted |= np.array(hits, dtype=np.bool_)
    return Score(len(told), right, sought.size, int(wanted.sum()))


def _sequence(flow: np.void) -> int:
    return int(flow["sequence"]) if flow["protocol"] == Protocol.TCP else 0


def _true(flows: npt.NDArray[np.void], first: int, second: int) -> list[bytes]:
    """Name of the translation from one leg to another of each flow."""
    named = np.zeros(flows.size, dtype=_IDENTITY)
    named["before"], named["after"] = flows["legs"][:, first], flows["legs"][:, second]
    named["protocol"] = flows["protocol"]
    return _names(named)


def _told(told: Records) -> list[bytes]:
    named = np.zeros(len(told), dtype=_IDENTITY)
    named["protocol"] = told["protocol"]
    for field in TUPLE.names or ():
        named["before"][field], named["after"][field] = told[field], told[f"nat_{field}"]
    return _names(named)


def _names(named: npt.NDArray[np.void]) -> list[bytes]:
    size = named.dtype.itemsize
    raw = named.tobytes()
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def case(recipe: Recipe, changes: Mapping[str, float]) -> Recipe:
    """The recipe of a capture that is hard in one of the ways of ``CASES``."""
    share = changes.get("seconds", 1.0)
    return replace(recipe, **{**changes, "seconds": recipe.seconds * share})


def main(connections: int) -> None:
    """Print a table of cases, and the speed on the first."""
    recipe = Recipe(connections=connections, seconds=connections / 1000)
    print(
        f"{'capture':28} {'packets':>9} {'told':>7} {'precision':>9} {'recall':>7} {'M pkt/s':>8}"
    )
    for name, changes in CASES.items():
        made = traffic(case(recipe, changes))
        records = records_of(made)
        begin = time.process_time()
        told = paired(records)
        rate = len(records) / (time.process_time() - begin) / 1e6
        result = score(made, told)
        print(
            f"{name:28} {len(records):9,} {result.told:7,} {result.precision:9.5f}"
            f" {result.recall:7.4f} {rate:8.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
