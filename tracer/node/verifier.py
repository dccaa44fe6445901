"""Before silence is judged, the kernel's own table is asked whether it was silence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, EventBatch, EventRows, Origin, picked
from tracer.flow import Rows
from tracer.node.existing import LOOKUPS, ConntrackTable, own_netns
from tracer.pipeline import Pipeline


class TableVerifier:
    """The session's Verifier, over ctnetlink; for flows of this network namespace.

    Raises UnableError where the table may not be read.
    """

    def __init__(self) -> None:
        self._table = ConntrackTable()
        self._netns = own_netns()
        self._turn = 0

    def lookup(self, pipeline: Pipeline, rows: Rows) -> EventBatch | None:
        """The present conntrack state of these flows, as CT_UPDATE.

        The time of each is when its flow was last seen: to be asked about is no sign of life.
        At most ``LOOKUPS`` a time, all in turn. Flows that conntrack does not know are left
        out; None if that is all of them.
        """
        flows = pipeline.table.flows[self._in_turn(rows)]
        here = (flows["netns"] == 0) | (flows["netns"] == self._netns)
        records = self._table.lookup(client_tuples(flows[here]))
        if not records.size:
            return None
        known = pipeline.table.find(records)
        last_ns = pipeline.table.flows["last_ns"][known]
        records["time_ns"] = np.where(known >= 0, last_ns, pipeline.now_ns)
        in_time = np.argsort(records["time_ns"], kind="stable")
        return EventBatch(picked(records, in_time), Origin.CONNTRACK, until_ns=0)

    def _in_turn(self, rows: Rows) -> Rows:
        """So that many suspects which stay silent do not keep others from being asked for."""
        if len(rows) <= LOOKUPS:
            return rows
        start = self._turn % len(rows)
        self._turn = start + LOOKUPS
        return np.roll(rows, -start)[:LOOKUPS]

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._table.close()


def client_tuples(flows: npt.NDArray[np.void]) -> EventRows:
    """Event rows with the tuples before translation of ``FLOW`` rows, to look them up by."""
    records = np.zeros(len(flows), dtype=EVENT)
    records["family"], records["protocol"] = flows["family"], flows["protocol"]
    for side, name in (("src", "client"), ("dst", "virtual")):
        records[side] = flows[name]
        records[f"{side}_port"] = flows[f"{name}_port"]
    return records
