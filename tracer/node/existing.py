"""The kernel's own tables of connections: what existed before tracing began, and what is now.

Shared by the probes (for connections older than they are, and to verify an absence) and
by the conntrack backend (for everything).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np

from tracer.clock import wall_ns
from tracer.errors import UnableError
from tracer.events import EventBatch, EventRows, Flag, Hook, Origin, no_records, stacked
from tracer.node import ctnetlink
from tracer.node.attributes import Block, messages
from tracer.node.ipvs import parse_connections
from tracer.node.lines import Unread
from tracer.node.netlink import NETLINK_NETFILTER, Requests

PROC = Path("/proc")
LOOKUPS = 64
"""Most tuples asked for at once: enough for suspects, too few to burden the kernel."""
_DATAGRAMS = 64
"""Datagrams of a dump decoded together, up to 32 KiB each: about 10,000 entries."""
_ANY_FAMILY = bytes(4)
"""``struct nfgenmsg`` for both address families."""


def own_netns() -> int:
    """Inode number of the network namespace this process is in, 0 if it cannot be told."""
    try:
        return (PROC / "self/ns/net").stat().st_ino
    except OSError:
        return 0


def unable(error: OSError) -> UnableError:
    """Why the connection table cannot be read, and what would let it."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return UnableError(
            "cannot read the connection table",
            "the kernel asks for CAP_NET_ADMIN in this network namespace",
            "run as root, or in a pod with the NET_ADMIN capability",
        )
    if error.errno in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):
        return UnableError(
            "cannot read the connection table",
            "this kernel has no connection tracking over netlink loaded",
            "run: modprobe nf_conntrack_netlink",
        )
    return UnableError("cannot read the connection table", str(error), "")


class ConntrackTable:
    """The connection table of this network namespace, over ctnetlink."""

    def __init__(self) -> None:
        self._netns = own_netns()
        try:
            self._requests = Requests(NETLINK_NETFILTER)
        except OSError as error:
            raise unable(error) from error

    def __enter__(self) -> ConntrackTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._requests.close()

    def entries(self) -> Iterator[EventRows]:
        """Every entry as CT_NEW with FLAG_EXISTING, some thousands at a time.

        An entry that moves while the kernel is listing may come twice or, rarely, not at all.
        """
        datagrams = self._requests.dump(ctnetlink.MESSAGE_GET, _ANY_FAMILY)
        try:
            while group := list(islice(datagrams, _DATAGRAMS)):
                yield self._decode(group)
        except OSError as error:
            raise unable(error) from error

    def lookup(self, tuples: EventRows) -> EventRows:
        """The present status, as CT_UPDATE, of those entries that exist.

        ``tuples`` are event rows of which family, protocol and the tuple before translation
        are read; ICMP means echo. At most ``LOOKUPS`` are asked for. Entries of conntrack
        zones other than 0 are not found.
        """
        asked = tuples[:LOOKUPS]
        bodies = [ctnetlink.request(row) for row in asked]
        try:
            answers = self._requests.ask(ctnetlink.MESSAGE_GET, bodies)
        except OSError as error:
            raise unable(error) from error
        records = self._decode(answers)
        records["hook"] = Hook.CT_UPDATE
        # Asked for by name: these flows were seen to begin.
        records["flags"] &= ~np.uint16(Flag.EXISTING)
        return records

    def _decode(self, datagrams: list[bytes]) -> EventRows:
        if not datagrams:
            return no_records()
        records, _ = ctnetlink.decode(messages(Block.of(datagrams)), wall_ns(), table=True)
        records["netns"] = self._netns
        return records


def ipvs_connections(proc: Path = PROC, at_ns: int | None = None) -> tuple[EventRows, int]:
    """The IPVS connections of this namespace, and the lines that were not understood.

    Empty where the kernel has no IPVS loaded; OSError where it may not be read.
    """
    try:
        data = (proc / "net/ip_vs_conn").read_bytes()
    except FileNotFoundError:
        return no_records(), 0
    unread = Unread("ip_vs_conn")
    records = parse_connections(data, unread, wall_ns() if at_ns is None else at_ns)
    records["netns"] = own_netns()
    return records, unread.count


def existing() -> EventBatch:
    """Every connection in conntrack's and IPVS' tables now; UnableError if that is forbidden.

    EventRows are CT_NEW and IPVS_NEW with FLAG_EXISTING.
    """
    with ConntrackTable() as table:
        parts = list(table.entries())
    try:
        connections, damaged = ipvs_connections()
    except OSError as error:
        raise unable(error) from error
    records = stacked([*parts, connections])
    return EventBatch(records, Origin.CONNTRACK, until_ns=0, damaged=damaged)
