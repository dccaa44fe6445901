"""Flows that are older than a file, as the records a table listing would give of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, EventRows, Flag, Hook
from tracer.flow import Engine, Flows, Rows, Seen

_FLAGS = (
    (Seen.REPLIED, Flag.REPLIED),
    (Seen.ASSURED, Flag.ASSURED),
)
_ENGINES = (
    (Engine.IPVS, Flag.IPVS),
    (Engine.IPTABLES, Flag.IPTABLES),
    (Engine.NFTABLES, Flag.NFTABLES),
)


def restated(flows: Flows, rows: Rows, now_ns: int) -> EventRows:
    """A mapping record for each of these rows that the kernel maps and has not ended."""
    mapped = (flows["seen"][rows] & np.uint32(Seen.MAPPED | Seen.IPVS_NEW)) != 0
    begun = (flows["ended_ns"][rows] == 0) & (flows["first_ns"][rows] <= now_ns)
    known = flows[rows[mapped & begun]]
    records = np.zeros(len(known), dtype=EVENT)
    records["time_ns"] = now_ns
    records["netns"], records["family"] = known["netns"], known["family"]
    records["protocol"] = known["protocol"]
    by_conntrack = (known["seen"] & np.uint32(Seen.MAPPED)) != 0
    records["hook"] = np.where(by_conntrack, Hook.CT_NEW, Hook.IPVS_NEW)
    sides = (("src", "client"), ("dst", "virtual"), ("nat_src", "source"), ("nat_dst", "backend"))
    for side, name in sides:
        records[side], records[f"{side}_port"] = known[name], known[f"{name}_port"]
    records["flags"] = _flags(known)
    return records


def _flags(known: npt.NDArray[np.void]) -> npt.NDArray[np.uint16]:
    flags = np.full(len(known), Flag.AFTER | Flag.EXISTING, dtype=np.uint16)
    for seen, flag in _FLAGS:
        flags |= np.where(known["seen"] & np.uint32(seen), flag, 0).astype(np.uint16)
    for engine, flag in _ENGINES:
        flags |= np.where(known["engine"] == engine, flag, 0).astype(np.uint16)
    for flag, before, after in (
        (Flag.DST_NAT, "virtual", "backend"),
        (Flag.SRC_NAT, "client", "source"),
    ):
        moved = (known[before] != known[after]).any(axis=1)
        moved |= known[f"{before}_port"] != known[f"{after}_port"]
        flags |= np.where(moved, flag, 0).astype(np.uint16)
    return flags
