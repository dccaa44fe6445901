"""Interfaces and addresses as the kernel lists them, and word when they change.

Raw messages, not pyroute2's objects: kube-ipvs0 holds an address for each Service, and
ten thousand of them must be read within milliseconds, every time something changes.
Numbers are those of ``linux/rtnetlink.h``, ``if_addr.h`` and ``if_link.h``.
"""

from __future__ import annotations

import socket
import struct

import numpy as np

from tracer.address import packed_at
from tracer.node.attributes import HEADER_WORDS, addresses, text, walk
from tracer.node.ctnetlink import attribute
from tracer.node.model import InterfaceAddress
from tracer.node.netlink import NETLINK_ROUTE, Mailbox, Requests, subscribe

_NEWLINK, _GETLINK, _NEWADDR, _GETADDR = 16, 18, 20, 22
_IFINFO_WORDS, _IFADDR_WORDS = 4, 2
_IFLA_IFNAME, _IFLA_MASTER, _IFLA_EXT_MASK = 3, 10, 29
_SKIP_STATISTICS = 8
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_SECONDARY = 0x01
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_GROUPS = (1, 5, 9)
"""RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR."""
_AF_INET = 2


def links(requests: Requests) -> tuple[dict[int, str], dict[str, str]]:
    """Names of this namespace's interfaces by index, and masters of ports by name.

    OSError as the kernel says it.
    """
    body = bytes(_IFINFO_WORDS * 4)
    body += attribute(_IFLA_EXT_MASK, struct.pack("=I", _SKIP_STATISTICS))
    found = requests.listed(_GETLINK, _NEWLINK, body)
    table = walk(found.words, found.starts + HEADER_WORDS + _IFINFO_WORDS, found.ends, _IFLA_MASTER)
    indexes = found.words[found.starts + HEADER_WORDS + 1]
    names = {
        int(index): text(found.words, int(name))
        for index, name in zip(indexes, table[:, _IFLA_IFNAME], strict=True)
        if name
    }
    masters = {
        names[int(index)]: names.get(int(found.words[master]), "")
        for index, master in zip(indexes, table[:, _IFLA_MASTER], strict=True)
        if master and int(index) in names
    }
    return names, masters


def interface_addresses(requests: Requests, names: dict[int, str]) -> tuple[InterfaceAddress, ...]:
    """Every address of this namespace; OSError as the kernel says it."""
    found = requests.listed(_GETADDR, _NEWADDR, bytes(_IFADDR_WORDS * 4))
    words, bodies = found.words, found.starts + HEADER_WORDS
    table = walk(words, bodies + _IFADDR_WORDS, found.ends, _IFA_LOCAL)
    payloads = np.where(table[:, _IFA_LOCAL] > 0, table[:, _IFA_LOCAL], table[:, _IFA_ADDRESS])
    v4 = (words[bodies] & np.uint32(0xFF)) == _AF_INET
    column = addresses(words, np.where(v4, payloads, 0), np.where(v4, 0, payloads))
    prefixes = words[bodies] >> np.uint32(8) & np.uint32(0xFF)
    scopes = words[bodies] >> np.uint32(24)
    secondary = (words[bodies] >> np.uint32(16) & np.uint32(_IFA_F_SECONDARY) > 0) & v4
    indexes = words[bodies + 1]
    return tuple(
        InterfaceAddress(
            names.get(int(indexes[row]), ""),
            packed_at(column, int(row)),
            int(prefixes[row]),
            _SCOPES.get(int(scopes[row]), str(scopes[row])),
            bool(secondary[row]),
        )
        for row in np.flatnonzero(payloads)
    )


class AddressWatcher:
    """Tells that interfaces or addresses have changed since it was last asked.

    Needs no privilege. Never blocks; can be polled by its descriptor.
    """

    def __init__(self) -> None:
        self._socket: socket.socket = subscribe(NETLINK_ROUTE, _GROUPS, 1 << 20)
        self._mailbox = Mailbox(64, 4096)

    def fileno(self) -> int:
        """Descriptor that becomes readable on a change."""
        return self._socket.fileno()

    def changed(self) -> bool:
        """Whether anything changed; forgets it. A lost message is a change."""
        changed = False
        while True:
            try:
                block, cut = self._mailbox.fill(self._socket.fileno())
            except OSError:  # ENOBUFS: more changes than the buffer could hold
                changed = True
                continue
            if not block.starts.size and not cut:
                return changed
            changed = True

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._socket.close()
