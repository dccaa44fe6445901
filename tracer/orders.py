"""Orders: columns of keys that sort flows as people expect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracer.cells import Flows, Keys, Naming, Order


def by_endpoint(side: str) -> Order:
    """IPv4 before IPv6, by address, then port."""

    def keys(flows: Flows, _: Naming) -> Keys:
        words = np.ascontiguousarray(flows[side]).view(">u8").astype(np.uint64)
        port = flows[f"{side}_port"].astype(np.uint64)
        result = ((words[:, 1] & np.uint64(0xFFFFFFFF)) << np.uint64(16)) | port
        six = np.flatnonzero(flows["family"] == 10)
        if six.size:
            # 128 bits do not fit a key: the place among the distinct ones does.
            ranks = np.unique(words[six], axis=0, return_inverse=True)[1]
            place = ranks.reshape(-1).astype(np.uint64) << np.uint64(16)
            result[six] = np.uint64(1 << 62) | place | port[six]
        return result

    return keys


def by_text(field: str, text: Callable[[int, Naming], str]) -> Order:
    """Order by the text of a number; rows without text come last."""

    def keys(flows: Flows, naming: Naming) -> Keys:
        numbers, inverse = np.unique(flows[field], return_inverse=True)
        texts = [text(int(number), naming) for number in numbers]
        order = {t: rank for rank, t in enumerate(sorted(set(texts), key=lambda t: (t == "", t)))}
        return np.array([order[t] for t in texts], dtype=np.int64)[inverse.reshape(-1)]

    return keys


def by_number(field: str) -> Order:
    """Order by a number."""
    return lambda flows, _: flows[field].astype(np.int64)


def by_time_since(field: str) -> Order:
    """Order by the time passed since then: the newest first."""
    return lambda flows, _: -flows[field]


def by_sum(field: str) -> Order:
    """Order by both directions together."""
    return lambda flows, _: flows[field].sum(axis=1).astype(np.int64)
