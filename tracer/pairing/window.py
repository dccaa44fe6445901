"""Equal traces of nearly equal times, brought together across batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.index import together
from tracer.pairing.traces import Mask, Rows, Times, Traces, joined, no_traces, runs

MAX_TRACES = 1 << 18
"""Traces kept at most; more of them within one window are judged as they stand."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Traces of packets that were seen under several tuples, group by group."""

    traces: Traces
    numbers: npt.NDArray[np.int64]
    """The group of each trace, not decreasing."""


class Window:
    """Holds traces until no equal one can come any more."""

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._traces = no_traces()
        self._new: list[Traces] = []

    def __len__(self) -> int:
        return len(self._traces) + sum(map(len, self._new))

    def add(self, traces: Traces) -> None:
        """Take traces in, in about their order of time."""
        if len(traces):
            self._new.append(traces)

    def take(self, until_ns: int) -> Groups:
        """Take out all whose equals, if there are any, are in by ``until_ns``."""
        traces = joined([self._traces, *self._new])
        self._new = []
        order = together(traces.keys)
        numbers = self._numbers(traces, order)
        closed = _latest(traces.times[order], numbers) <= until_ns - self._window_ns
        if np.count_nonzero(~closed) > MAX_TRACES:
            closed[:] = True
        self._traces = traces.rows(order[~closed])
        several = closed & _several(traces, order, numbers)
        return Groups(traces.rows(order[several]), numbers[several])

    def _numbers(self, traces: Traces, order: Rows) -> npt.NDArray[np.int64]:
        """Groups of one key without a gap as long as the window."""
        if not order.size:
            return np.zeros(0, dtype=np.int64)
        keys, times = traces.keys[order], traces.times[order]
        begins = np.zeros(order.size, dtype=np.int64)
        begins[1:] = (keys[1:] != keys[:-1]) | (times[1:] - times[:-1] > self._window_ns)
        return np.cumsum(begins)


def _latest(times: Times, numbers: npt.NDArray[np.int64]) -> Times:
    """For each trace, the latest time of its group."""
    if not times.size:
        return times
    begins, _ = runs(numbers[1:] != numbers[:-1])
    return np.maximum.reduceat(times, begins)[numbers]


def _several(traces: Traces, order: Rows, numbers: npt.NDArray[np.int64]) -> Mask:
    """Whether each trace, in order, is of a packet with several tuples."""
    sources, destinations = traces.ends.sources[order], traces.ends.destinations[order]
    differs = (sources[1:] != sources[:-1]) | (destinations[1:] != destinations[:-1])
    within = differs & (numbers[1:] == numbers[:-1])
    several = np.zeros(int(numbers[-1]) + 1 if numbers.size else 0, dtype=np.bool_)
    several[numbers[1:][within]] = True
    return several[numbers]
