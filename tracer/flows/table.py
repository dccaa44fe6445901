"""The flow table: records in, changed rows out."""

from __future__ import annotations

from functools import partial

import numpy as np

from tracer.events import Flag, Hook, Origin, Records, membership, picked
from tracer.fields import Fields
from tracer.flow import Engine, Rows, Seen
from tracer.flows import evidence, mappings, packets, pairs
from tracer.flows.chains import link
from tracer.flows.rows import Scopes
from tracer.flows.state import settle
from tracer.flows.store import FlowStore
from tracer.index import ascending
from tracer.tunnels import Carrier

_SOURCE = {
    Origin.KERNEL: Seen.KERNEL,
    Origin.CONNTRACK: Seen.CONNTRACK,
    Origin.PACKETS: Seen.PACKETS,
}


_MAPPINGS = membership(*mappings.HOOKS)
_EVIDENCE = membership(*evidence.HOOKS)
_PACKETS = membership(Hook.PACKET)
_PAIRS = membership(*pairs.HOOKS)


class FlowTable:
    """One row per flow, correlated from every kind of record.

    Mappings are applied before evidence and evidence before packets, so that the
    order in which a batch happens to hold them does not matter; across batches a
    provisional row waits until the kernel tells. What packets alone tell of
    translations comes behind the packets; with them where no order is needed.
    """

    def __init__(self, max_rows: int = 1 << 20, seed: int | None = None) -> None:
        self._store = FlowStore(max_rows, seed)
        self.home_netns = 0
        """Inode of the namespace viptrace looks from; records of it have scope 0."""
        self.default_engine = Engine.UNKNOWN
        """Engine of translations whose records do not tell, from kube-proxy's mode."""

    @property
    def flows(self) -> Fields:
        """The rows, dtype ``FLOW``, field by field; another object whenever the table has grown."""
        return self._store.flows

    def __len__(self) -> int:
        return len(self._store)

    @property
    def counts_packets(self) -> bool:
        """Whether every packet is seen, so that counting them means something."""
        return self._store.counts_packets

    def sees_requests_only(self) -> None:
        """Packets come through a filter: leave counting them to the kernel."""
        self._store.counts_packets = False

    @property
    def evicted(self) -> int:
        """Rows given up because the table was full."""
        return self._store.evicted

    def alive(self) -> Rows:
        """Row numbers of all flows, ended ones included."""
        return self._store.alive()

    def row(self, flow_id: int) -> int:
        """Row number of a flow id, -1 when it has been evicted."""
        return self._store.row(flow_id)

    def update(self, records: Records, origin: Origin, told: Records | None = None) -> Rows:
        """Correlate a batch; the distinct rows that are new or changed.

        ``told``: translations that the packets of this batch and of earlier ones tell.
        """
        if told is not None and len(told):
            if _PACKETS[records["hook"]].any():
                return self._update(records, origin, told)
            both = self._update(records, origin), self._update(told, Origin.PACKETS)
            return ascending(np.concatenate(both))
        return self._update(records, origin)

    def _update(self, records: Records, origin: Origin, told: Records | None = None) -> Rows:
        if not len(records):
            return np.zeros(0, dtype=np.intp)
        records = _in_order(records)
        scopes = self._scopes(records)
        hooks, touched = records["hook"], []
        alike = bool((hooks == hooks[0]).all())
        take_packets = packets.apply
        if told is not None:
            told = _in_order(told)
            take_packets = partial(packets.apply_told, told=told, of_told=self._scopes(told))
        for member, apply in (
            (_MAPPINGS, partial(mappings.apply, source=_SOURCE[origin])),
            (_EVIDENCE, evidence.apply),
            (_PACKETS, take_packets),
            (_PAIRS, pairs.apply),
        ):
            if alike and member[hooks[0]]:
                touched.append(apply(self._store, records, scopes))
            elif not alike and (mine := member[hooks]).any():
                touched.append(apply(self._store, picked(records, mine), scopes[mine]))
        if len(self._store.early[0]) and origin == Origin.PACKETS:
            touched.append(evidence.again(self._store, int(records["time_ns"].max())))
        if not touched:
            return np.zeros(0, dtype=np.intp)
        changed = ascending(np.concatenate(touched))
        changed = changed[self.flows["alive"][changed]]
        self._settle(changed)
        return changed

    def _scopes(self, records: Records) -> Scopes:
        return np.where(records["netns"] == self.home_netns, np.uint32(0), records["netns"])

    def _settle(self, rows: Rows) -> None:
        flows = self.flows
        unknown = rows[
            (flows["engine"][rows] == Engine.UNKNOWN)
            & ((flows["seen"][rows] & np.uint32(Seen.TRANSLATED)) != 0)
        ]
        flows["engine"][unknown] = self.default_engine
        settle(flows, rows)
        link(self._store, rows)

    def translated(self) -> Rows:
        """Living rows whose addresses this node changed."""
        rows = self.alive()
        return rows[(self.flows["seen"][rows] & np.uint32(Seen.TRANSLATED)) != 0]

    def carrier(self, number: int) -> Carrier | None:
        """The tunnel that the ``tunnel`` column tells of; None for 0."""
        return self._store.tunnels.carrier(number)

    def find(self, records: Records) -> Rows:
        """Row of the flow of each record (an ICMP error's is what it quotes), -1 for none."""
        scopes = self._scopes(records)
        rows: Rows = self._store.find(mappings.before(records, scopes))[0]
        quoting = (records["flags"] & Flag.QUOTED) != 0
        if quoting.any():
            about = packets.quoted(picked(records, np.flatnonzero(quoting)), scopes[quoting])
            rows[quoting] = self._store.find(about)[0]
        return rows


def _in_order(records: Records) -> Records:
    times = records["time_ns"]
    if (times[1:] < times[:-1]).any():
        return picked(records, np.argsort(times, kind="stable"))
    return records
