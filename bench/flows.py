"""Events a second from ring bytes to flow rows, on one core.

Processor time, so that a busy machine does not distort it. Each connection is what the
default probes send for it: IPVS connection, NAT decision, confirmed mapping, end.
Run with ``python -m bench.flows [connections]``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from probes.kernel import Kernel
from tracer.events import EVENT, Flag, Hook, Origin
from tracer.flows import FlowTable
from tracer.names import Names
from tracer.sources.kernel import SLOT, Translator


def connections(count: int, first: int = 0) -> np.ndarray:
    """Four records for each of ``count`` connections through one VIP to three pods."""
    number = np.arange(first, first + count)
    base = np.zeros(count, dtype=EVENT)
    base["time_ns"] = 1_700_000_000_000_000_000 + number * 10_000
    base["family"], base["protocol"], base["netns"] = 2, 6, 1
    base["src"] = base["nat_src"] = np.stack((np.zeros(count), number // 60000 + 1), axis=1)
    base["src_port"] = base["nat_src_port"] = number % 60000 + 1024
    base["dst"], base["dst_port"] = (0, 99), 80
    base["nat_dst"] = np.stack((np.zeros(count), number % 3 + 1000), axis=1)
    base["nat_dst_port"] = 8080
    steps = []
    for hook, flags in (
        (Hook.IPVS_NEW, Flag.AFTER | Flag.IPVS),
        (Hook.NAT_DECIDED, Flag(0)),
        (Hook.CT_NEW, Flag.AFTER | Flag.SRC_NAT),
        (Hook.CT_END, Flag.AFTER | Flag.SRC_NAT | Flag.REPLIED),
    ):
        step = base.copy()
        step["hook"], step["flags"] = hook, flags
        step["time_ns"] += hook * 1000
        steps.append(step)
    return np.stack(steps, axis=1).reshape(-1)


class Nobody:
    """A keeper of names for records that need none."""

    drop_reasons: Mapping[int, str] = MappingProxyType({})

    def label(self, address: int) -> str:
        """No chain is asked for."""
        return str(address)

    def quieten(self, location: int, reason: int) -> None:
        """No drop is told of."""


def ring_rate(total: int, batch: int) -> float:
    """Events a second from ring slots, as they are drained, to flow rows."""
    slots = np.zeros(total * 4, dtype=SLOT)
    slots["event"] = connections(total)
    blocks = [slots[at : at + batch].tobytes() for at in range(0, len(slots), batch)]
    translator, table = Translator(Names(), Kernel(), Nobody()), FlowTable(max_rows=1 << 18)
    start = time.process_time()
    for block in blocks:
        table.update(translator.records(block), Origin.KERNEL)
    return len(slots) / (time.process_time() - start)


def rate(total: int, batch: int) -> float:
    """Events a second through ``FlowTable.update`` in batches of this many records."""
    events = connections(total)
    table = FlowTable(max_rows=1 << 18)
    start = time.process_time()
    for at in range(0, len(events), batch):
        table.update(events[at : at + batch], Origin.KERNEL)
    return len(events) / (time.process_time() - start)


def main() -> None:
    """Print one line per batch size."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    for batch in (512, 2048, 8192, 32768):
        print(
            f"batch {batch:6}: records to rows {rate(total, batch):9,.0f} events/s,"
            f" ring slots to rows {ring_rate(total, batch):9,.0f} events/s"
        )


if __name__ == "__main__":
    main()
