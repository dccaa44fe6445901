"""New flows, failures and time to answer over the last while, for sparklines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows
from tracer.flow import Seen, State

STEPS = 40
STEP_NS = 1_000_000_000
_SHORTEST_NS = 1_000_000

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trends:
    """One value a step, the latest last."""

    step_ns: int = STEP_NS
    """A second; less for a recording that is shorter than all steps."""
    flows: Values = ()
    """New translated flows a second."""
    bad: Values = ()
    """Flows a second that were refused or lost, by when they were last seen."""
    answer_ms: Values = ()
    """How long answers took on average, by when they came; 0 where none came."""


class TrendKeeper:
    """Counts again only when a step has passed."""

    def __init__(self) -> None:
        self._made_at = (-1, -1)
        self._trends = Trends()

    def trends(self, flows: Callable[[], Flows], now_ns: int, began_ns: int) -> Trends:
        """Of the translated flows, up to now; they are asked for when a step has passed."""
        span_ns = max(now_ns - began_ns, 0) if began_ns else 0
        step_ns = min(max(span_ns // STEPS, _SHORTEST_NS), STEP_NS)
        now_step = now_ns // step_ns
        # Within a step only a growing share of the last value changes: not worth all columns.
        if self._made_at != (now_step, step_ns) or not self._trends.flows:
            self._made_at = now_step, step_ns
            self._trends = trends_of(flows(), now_ns, step_ns)
        return self._trends


def trends_of(flows: Flows, now_ns: int, step_ns: int) -> Trends:
    """Three passes over whole columns."""
    seen, state = flows["seen"], flows["state"]
    new = _per_step(flows["first_ns"][seen & Seen.EXISTING == 0], now_ns, step_ns)
    failed = _per_step(
        flows["last_ns"][(state == State.REFUSED) | (state == State.LOST)], now_ns, step_ns
    )
    request, answer = flows["request_ns"], flows["answer_ns"]
    timed = np.flatnonzero((request > 0) & (answer > request))
    answered = _per_step(answer[timed], now_ns, step_ns)
    waited = _per_step(answer[timed], now_ns, step_ns, (answer - request)[timed])
    seconds = step_ns / 1e9
    return Trends(
        step_ns,
        tuple((new / seconds).tolist()),
        tuple((failed / seconds).tolist()),
        tuple((waited / np.maximum(answered, 1) / 1e6).tolist()),
    )


def _per_step(
    times: npt.NDArray[np.int64],
    now_ns: int,
    step_ns: int,
    weights: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float64]:
    """Counts, or sums of weights, in each of the last steps; older times are left out."""
    steps = STEPS - 1 - (now_ns - times) // step_ns
    inside = (steps >= 0) & (steps < STEPS)
    chosen = None if weights is None else weights[inside]
    return np.bincount(steps[inside], chosen, minlength=STEPS).astype(np.float64)
