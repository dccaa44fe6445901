"""The pure core: batches in, updates out. No threads, no files, no clock.

Time is data: how far the sources have come (``until_ns``) is all the time there is,
so a replay judges exactly as the live run did.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tracer.cluster.model import Cluster
from tracer.diagnosis.engine import Changes, Diagnosis
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.ledger import Ledger
from tracer.diagnosis.rule import Scene
from tracer.enrich import Enricher
from tracer.events import EventBatch, Hook, Loss, Origin, Records, no_records
from tracer.flow import Engine, Rows, Seen
from tracer.flows import FlowTable
from tracer.names import Names, Texts
from tracer.node.model import NodeState
from tracer.pairing import Pairer
from tracer.server_turns import ServerTurns

ABSENCE_WINDOW_NS = 10_000_000_000
"""Losses this recent weaken conclusions drawn from something not seen."""

_ENGINES = {"ipvs": Engine.IPVS, "iptables": Engine.IPTABLES, "nftables": Engine.NFTABLES}


@dataclass(frozen=True, slots=True)
class Update:
    """What one step of the pipeline says; all that a sink may see."""

    batch: EventBatch
    changed: Rows
    """Rows that are new or changed."""
    opened: tuple[Finding, ...] = ()
    updated: tuple[Finding, ...] = ()
    closed: tuple[Finding, ...] = ()
    lost: Loss = Loss()
    """Everything lost so far."""
    took: EventBatch | NodeState | Cluster | None = None
    """What this step was given; None at the end of the input."""


class Pairs(Protocol):
    """Finds translations in packets alone."""

    def feed(self, records: Records, until_ns: int = 0) -> Records:
        """Take packets in about their order of time; the translations known by now."""

    def finish(self) -> Records:
        """End of input: the translations that waited for more packets."""


class Pipeline:
    """Correlate, name, diagnose: owned by one thread."""

    def __init__(
        self,
        *,
        home_netns: int = 0,
        max_flows: int = 1 << 20,
        pair: bool = False,
        pairer: Pairs | None = None,
        several_clocks: bool = False,
    ) -> None:
        """``pair``: find translations in packets alone, where no kernel tells of them; ``pairer``
        does that instead of one of its own.

        ``several_clocks``: each origin comes at its own pace, and time is as late as the
        latest of them; without, batches come in order of time already.
        """
        self.names = Names()
        self.enricher = Enricher(self.names)
        self.table = FlowTable(max_flows)
        self.table.home_netns = home_netns
        self.cluster = Cluster()
        self.node = NodeState()
        self.servers = ServerTurns()
        """What became of IPVS' servers."""
        self.texts = Texts()
        self.interfaces: dict[int, str] = {}
        self.packets = 0
        self.events = 0
        self.damaged = 0
        self.lost = Loss()
        self.now_ns = 0
        """How far every source has come: silence before it is silence."""
        self.started_ns = 0
        self._several_clocks = several_clocks
        self._clocks: dict[Origin | None, int] = {}
        self._recent_losses: deque[tuple[int, int]] = deque()
        self._diagnosis = Diagnosis()
        self._pairer: Pairs | None = (pairer or Pairer()) if pair else None

    @property
    def pairs(self) -> bool:
        """Whether translations are found in packets alone."""
        return self._pairer is not None

    @property
    def several_clocks(self) -> bool:
        """Whether each origin comes at its own pace."""
        return self._several_clocks

    @property
    def findings(self) -> Ledger:
        """Open and closed findings."""
        return self._diagnosis.ledger

    def prepared(self, batch: EventBatch) -> EventBatch:
        """The batch with the translations that packets alone tell, if they are looked for.

        ``feed`` does this too. A thread of its own may do it before, batch by batch in their
        order: nothing else of the pipeline is touched.
        """
        if self._pairer is None or batch.origin != Origin.PACKETS or batch.pairs is not None:
            return batch
        return replace(batch, pairs=self._pairer.feed(batch.records, batch.until_ns))

    def feed(self, batch: EventBatch) -> Update:
        """Take one batch: correlate, name, diagnose."""
        self._account(batch)
        told = self.prepared(batch).pairs
        changed = self.table.update(batch.records, batch.origin, told)
        self.enricher.annotate(self.table.flows, changed)
        changes = self._diagnosis.on_flows(self._scene(), changed)
        return self._update(batch, changed, changes, batch)

    def set_cluster(self, cluster: Cluster, now_ns: int) -> Update:
        """Take what Kubernetes says now."""
        self.cluster = cluster
        return self._state_changed(cluster, now_ns)

    def set_node(self, node: NodeState, now_ns: int) -> Update:
        """Take what this node's kernel holds now."""
        self.node = node
        self.interfaces.update(node.interfaces)
        self.table.default_engine = _ENGINES.get(node.proxy_mode, Engine.UNKNOWN)
        update = self._state_changed(node, now_ns)
        self.servers.note(node, self.enricher)
        return update

    def finish(self) -> Update:
        """End of input: absences are judged as far as the input reached."""
        self._advance(max(self._clocks.values(), default=0))
        changed = self.table.alive()[:0]
        if self._pairer is not None:
            changed = self.table.update(self._pairer.finish(), Origin.PACKETS)
            self.enricher.annotate(self.table.flows, changed)
        batch = EventBatch(no_records(), Origin.KERNEL, self.now_ns)
        return self._update(batch, changed, self._diagnosis.on_end(self._scene()))

    def suspects(self, silent_ns: int) -> Rows:
        """Translated flows whose request has had no answer for this long.

        The session asks the kernel's own table about them before a rule judges them.
        """
        flows, rows = self.table.flows, self.table.translated()
        answered = np.uint32(
            Seen.REPLIED | Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT | Seen.ENDED | Seen.EXISTING
        )
        open_ended = (flows["seen"][rows] & answered) == 0
        return rows[open_ended & (flows["first_ns"][rows] <= self.now_ns - silent_ns)]

    def _state_changed(self, state: NodeState | Cluster, now_ns: int) -> Update:
        if not self._clocks:
            self._advance(now_ns)
        self.enricher.set_cluster(self.cluster, self.node)
        rows = self.table.alive()
        self.enricher.annotate(self.table.flows, rows)
        batch = EventBatch(no_records(), Origin.KERNEL, self.now_ns)
        return self._update(batch, rows, self._diagnosis.on_state(self._scene()), state)

    def _account(self, batch: EventBatch) -> None:
        packets = int(np.count_nonzero(batch.records["hook"] == Hook.PACKET))
        self.packets += packets
        self.events += len(batch.records) - packets
        self.damaged += batch.damaged
        self.texts.bind(batch.texts)
        self.interfaces.update(batch.interfaces)
        self.lost += batch.lost
        if not self.started_ns:
            first = batch.records["time_ns"].min() if len(batch.records) else batch.until_ns
            self.started_ns = int(first)
        if batch.until_ns:
            clock = batch.origin if self._several_clocks else None
            self._clocks[clock] = max(self._clocks.get(clock, 0), batch.until_ns)
        self._advance(min(self._clocks.values(), default=0))
        if batch.lost:
            self._recent_losses.append((self.now_ns, batch.lost.total))

    def _advance(self, now_ns: int) -> None:
        self.now_ns = max(self.now_ns, now_ns)
        while self._recent_losses and self._recent_losses[0][0] < self.now_ns - ABSENCE_WINDOW_NS:
            self._recent_losses.popleft()

    def _scene(self) -> Scene:
        return Scene(
            table=self.table,
            cluster=self.cluster,
            node=self.node,
            enricher=self.enricher,
            now_ns=self.now_ns,
            lost=self.lost,
            recent_lost=sum(count for _, count in self._recent_losses),
            text=self.texts.text,
        )

    def _update(
        self,
        batch: EventBatch,
        changed: Rows,
        changes: Changes,
        took: EventBatch | NodeState | Cluster | None = None,
    ) -> Update:
        return Update(
            batch, changed, changes.opened, changes.updated, changes.closed, self.lost, took
        )
