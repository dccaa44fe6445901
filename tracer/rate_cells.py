"""How busy flows are, for columns: packets of both directions over the time they were seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows, Keys, Naming, count_text

_SHORTEST_NS = 1_000_000
"""Below a millisecond a rate says nothing."""


def texts(flows: Flows, naming: Naming) -> list[str]:
    """``0.3``, ``12``, ``4.5M``; empty where nobody counts packets, or for a moment only."""
    return [_text(rate) for rate in _rates(flows).tolist()]


def keys(flows: Flows, naming: Naming) -> Keys:
    """Order by the rate."""
    return (_rates(flows) * 1000).astype(np.int64)


def _rates(flows: Flows) -> npt.NDArray[np.float64]:
    span_ns = flows["last_ns"] - flows["first_ns"]
    packets = flows["packets"].sum(axis=1).astype(np.float64)
    return np.where(span_ns >= _SHORTEST_NS, packets * 1e9 / np.maximum(span_ns, 1), 0.0)


def _text(rate: float) -> str:
    if not rate:
        return ""
    return f"{rate:.1f}" if rate < 10 else count_text(round(rate))
