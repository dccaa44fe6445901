"""Mappings as event rows: what the text and the netlink form of the tables share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import EventRows, Flag


def changed(records: EventRows, side: str) -> npt.NDArray[np.bool_]:
    """Where translation changes the address or port of a side (``src`` or ``dst``)."""
    address = (records[side] != records[f"nat_{side}"]).any(axis=1)
    return np.asarray(address | (records[f"{side}_port"] != records[f"nat_{side}_port"]))


def mark_changes(records: EventRows) -> None:
    """Set SRC_NAT and DST_NAT from the tuples, for tables that do not show the status bits."""
    for side, flag in (("src", Flag.SRC_NAT), ("dst", Flag.DST_NAT)):
        records["flags"] |= np.where(changed(records, side), np.uint16(flag), np.uint16(0))
