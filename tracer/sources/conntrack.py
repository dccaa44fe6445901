"""The lesser mode: conntrack's events and tables, and IPVS' connection list.

Shows every mapping and its end, but neither refusals nor drops: those need probes.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tracer.clock import wall_ns
from tracer.errors import UnableError
from tracer.events import EventBatch, EventRows, Hook, Loss, Origin, no_records, stacked
from tracer.node import ctnetlink
from tracer.node.attributes import Block, messages
from tracer.node.diff import TableDiff, ended
from tracer.node.existing import PROC, ConntrackTable, own_netns, unable
from tracer.node.ipvs_poll import IpvsPoll
from tracer.node.netlink import NETLINK_NETFILTER, Mailbox, dropped, readable, subscribe
from tracer.settings import LiveSettings
from tracer.sources import Problem

GATHER_S = 0.02
"""After the first event, wait this long for more: columns want company."""
RECHECK_S = 30.0
"""How often entries older than the subscription are looked for: the kernel does not tell
the end of an entry made while nobody listened (``nf_conntrack_events`` = 2)."""
RECHECK_SHARE = 50
"""Such a listing takes at most one fiftieth of the time."""
_BUFFER_BYTES = 64 << 20
_SLOTS, _SLOT_BYTES = 1024, 2048
_ROUNDS = 16
"""Mailboxes emptied for one batch."""
_PARTS = 32
"""Parts of a listing in one batch."""


class ConntrackSource:
    """A Source over ctnetlink and ``/proc/net/ip_vs_conn`` of this network namespace.

    Subscribes first and lists the table then, so nothing falls between; what is told
    twice is harmless, for records name the mapping and not a change.
    """

    name = "conntrack"

    def __init__(self, settings: LiveSettings, proc: Path = PROC) -> None:
        self._settings = settings
        self._proc = proc
        self._netns = own_netns()
        self._ipvs = IpvsPoll(proc)
        self._mailbox = Mailbox(_SLOTS, _SLOT_BYTES)
        self._events: socket.socket | None = None
        self._table: ConntrackTable | None = None
        self._listing: Iterator[EventRows] | None = None
        self._listed: list[EventRows] = []
        self._recheck = False
        """Whether the present listing only looks for what has gone."""
        self._listing_began = 0.0
        self._recheck_at = 0.0
        self._older = TableDiff(by_backend=False)
        self._until_ns = 0
        self._dropped = 0
        self._busy = False

    def problems(self) -> list[Problem]:
        """What this mode, or this node's settings, keep from view."""
        found = [
            Problem(
                "drops and refusals are not seen",
                "conntrack tells of mappings only",
                "use --backend bpf where the kernel and the privileges allow",
            ),
        ]
        if self._ipvs.failure:
            found.append(
                Problem("IPVS connections are not seen", self._ipvs.failure, "run as root")
            )
        if self._sysctl("nf_conntrack_events") == "0":
            found.append(
                Problem(
                    "new connections are not seen",
                    "net.netfilter.nf_conntrack_events is 0",
                    "run: sysctl -w net.netfilter.nf_conntrack_events=2",
                )
            )
        if self._sysctl("nf_conntrack_acct") == "0":
            found.append(
                Problem(
                    "no packet counts",
                    "net.netfilter.nf_conntrack_acct is 0",
                    "run: sysctl -w net.netfilter.nf_conntrack_acct=1",
                )
            )
        if self._settings.all_namespaces:
            found.append(
                Problem("other network namespaces are not seen", "ctnetlink tells of its own only")
            )
        return found

    def _sysctl(self, name: str) -> str:
        try:
            return (self._proc / "sys/net/netfilter" / name).read_text().strip()
        except OSError:
            return ""

    def open(self) -> None:
        """Subscribe, then begin to list the table; UnableError without CAP_NET_ADMIN."""
        try:
            self._events = subscribe(NETLINK_NETFILTER, ctnetlink.GROUPS, _BUFFER_BYTES)
        except OSError as error:
            raise unable(error) from error
        try:
            self._table = ConntrackTable()
            self._list(recheck=False)
        except UnableError:
            self.close()
            raise

    def close(self) -> None:
        """Close both sockets; safe to call twice."""
        for channel in (self._events, self._table):
            if channel is not None:
                channel.close()
        self._events = self._table = self._listing = None

    def read(self, timeout: float) -> EventBatch | None:
        """Table entries while a listing goes on, else the events of up to ``timeout`` seconds."""
        if self._events is None:
            return None
        if self._listing is not None:
            return self._batch(self._next_parts())
        now = time.monotonic()
        if now >= self._recheck_at and len(self._older):
            self._list(recheck=True)
        polled, damaged = self._ipvs.poll(now, wall_ns())
        if self._wait(self._events, 0.0 if polled.size else min(timeout, self._ipvs.due_in(now))):
            records, lost, cut = self._events_waiting(self._events)
            return self._batch([records, polled], lost, damaged + cut)
        return self._batch([polled], damaged=damaged)

    def _batch(self, parts: list[EventRows], lost: int = 0, damaged: int = 0) -> EventBatch:
        """The parts as a batch: no record is earlier than the last one's ``until_ns``.

        The kernel's stamps may be (``nf_conntrack_timestamp``), and so may a clock set back.
        """
        before, self._until_ns = self._until_ns, max(self._until_ns, wall_ns())
        records = stacked(parts)
        np.clip(records["time_ns"], before, self._until_ns, out=records["time_ns"])
        loss = Loss(socket=lost)
        return EventBatch(records, Origin.CONNTRACK, self._until_ns, loss, damaged=damaged)

    def _wait(self, events: socket.socket, timeout: float) -> bool:
        """Whether events wait, at the latest after ``timeout`` seconds."""
        ready = readable(events, timeout)
        if ready and timeout and not self._busy:
            time.sleep(min(timeout, GATHER_S))
        return ready

    def _events_waiting(self, events: socket.socket) -> tuple[EventRows, int, int]:
        """Records of what waits, messages lost, and messages not understood."""
        parts, lost, damaged = [no_records()], 0, 0
        for _ in range(_ROUNDS):
            try:
                block, cut = self._mailbox.fill(events.fileno())
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost += self._newly_dropped(events)
                self._list(recheck=False)
                continue
            if block.starts.size:
                records, bad = self._decode(block)
                parts.append(records)
                damaged += bad
            lost += cut
            if block.starts.size + cut < _SLOTS:
                break
        self._busy = len(parts) > 2
        return stacked(parts), lost, damaged

    def _newly_dropped(self, events: socket.socket) -> int:
        """Events the kernel dropped since this was last asked, at least one."""
        before, self._dropped = self._dropped, dropped(events)
        return max(1, self._dropped - before)

    def _decode(self, block: Block) -> tuple[EventRows, int]:
        records, bad = ctnetlink.decode(messages(block), wall_ns())
        records["netns"] = self._netns
        return records, bad

    def _list(self, *, recheck: bool) -> None:
        """Begin to list the table; events wait meanwhile, so no listing interrupts another."""
        if self._table is None:
            return
        self._listing_began = time.monotonic()
        self._listing, self._listed, self._recheck = self._table.entries(), [], recheck

    def _next_parts(self) -> list[EventRows]:
        """Several parts of a listing: the kernel hands out a hundred entries at a time."""
        parts = [self._next_listed()]
        while self._listing is not None and len(parts) < _PARTS:
            parts.append(self._next_listed())
        return parts

    def _next_listed(self) -> EventRows:
        """The next part of the listing; at its end, of a recheck, what has gone."""
        part = next(self._listing, None) if self._listing is not None else None
        if part is not None:
            self._listed.append(part)
            return no_records() if self._recheck else part
        whole = stacked(self._listed)
        took = time.monotonic() - self._listing_began
        self._recheck_at = time.monotonic() + max(RECHECK_S, RECHECK_SHARE * took)
        self._listing, self._listed = None, []
        if self._recheck:
            return ended(self._older.retain(whole), Hook.CT_END, wall_ns())
        self._older.replace(whole)
        return no_records()
