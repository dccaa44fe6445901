"""One flow: the columns of a row, and the numbers in them.

A translated flow has four tuples, all of which lead to its one row; which of
them a packet carried is its *leg*.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

from tracer.fields import Fields


class Leg(IntEnum):
    """Which of a flow's four tuples was seen."""

    CLIENT_OUT = 0
    """client -> virtual"""
    CLIENT_IN = 1
    """virtual -> client"""
    BACKEND_OUT = 2
    """source after translation -> backend"""
    BACKEND_IN = 3
    """backend -> source after translation"""


class Engine(IntEnum):
    """What chose the translation."""

    UNKNOWN = 0
    IPVS = 1
    IPTABLES = 2
    NFTABLES = 3


ENGINE_NAMES: Mapping[int, str] = {engine: engine.name.lower() for engine in Engine}


class State(IntEnum):
    """How far a flow has come, as far as witnessed."""

    NEW = 0
    """Seen or mapped; no answer witnessed yet."""
    ANSWERED = 1
    """A packet came back."""
    ESTABLISHED = 2
    """Both sides spoke, or conntrack calls it assured."""
    CLOSING = 3
    """A FIN was seen."""
    CLOSED = 4
    """Ended in order, or expired after it had been answered."""
    REFUSED = 5
    """Answered by a reset or an ICMP error."""
    LOST = 6
    """Dropped by this kernel, or ended without ever being answered."""


STATE_NAMES: Mapping[int, str] = {state: state.name.lower() for state in State}


class Seen(IntFlag):
    """What has been witnessed of a flow; bits of the ``seen`` column."""

    TRANSLATED = 1 << 0
    """The destination or source was changed by this node."""
    KERNEL = 1 << 1
    """A kernel record made or confirmed the row."""
    CONNTRACK = 1 << 2
    PACKETS = 1 << 3
    SYN = 1 << 4
    """A request on the client leg (TCP SYN; any packet of other protocols)."""
    SYN_TRANSLATED = 1 << 5
    """The request was also seen on the backend leg."""
    ANSWER_BACKEND = 1 << 6
    """The backend answered (SYN-ACK; any packet of other protocols)."""
    ANSWER_CLIENT = 1 << 7
    """The answer was also seen translated back."""
    RST_BACKEND = 1 << 8
    """Reset by the backend's address."""
    RST_CLIENT = 1 << 9
    """Reset by the client."""
    RST_LOCAL = 1 << 10
    """The kernel of this node (or of a pod on it) sent the reset."""
    ICMP_REFUSED = 1 << 11
    """An ICMP error quoted this flow."""
    FIN = 1 << 12
    DROPPED = 1 << 13
    """A packet of it was freed as dropped."""
    IPVS_NEW = 1 << 14
    """IPVS made a connection for it."""
    NO_DESTINATION = 1 << 15
    """IPVS had no usable real server."""
    CT_FAILED = 1 << 16
    """Conntrack could not insert or allocate."""
    REPLIED = 1 << 17
    """Conntrack saw a reply."""
    ENDED = 1 << 18
    """The kernel destroyed the mapping."""
    EXISTING = 1 << 19
    """Already in a table when tracing began."""
    LOCAL_IN = 1 << 20
    """Delivered to this machine's own sockets."""
    RETRANSMITTED = 1 << 21
    """The request was repeated."""
    NO_ROUTE = 1 << 22
    RST_BEFORE_ANSWER = 1 << 23
    """The reset answered the request itself: nothing listened."""
    MAPPED = 1 << 24
    """Conntrack holds (or held) a mapping for it."""
    ASSURED = 1 << 25
    """Conntrack saw traffic both ways and will not drop the mapping early."""
    PAIRED = 1 << 26
    """The translation is read from packets alone: no kernel told of it."""
    CT_FULL = 1 << 27
    """Conntrack had no room for it."""
    IPVS_FAILED = 1 << 28
    """IPVS could not schedule it, though it had real servers."""
    RST_ASTRAY = 1 << 29
    """The client reset the backend's own address, which it should never have seen."""
    TOO_BIG = 1 << 30
    """A packet of it did not fit the way on, and its sender was told by ICMP."""
    TOO_BIG_AGAIN = 1 << 31
    """The same seconds later: the sender did not hear of it."""


FLOW = np.dtype(
    [
        ("id", "<u8"),
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
        ("request_ns", "<i8"),  # first request, 0 none
        ("answer_ns", "<i8"),  # first answer, 0 none
        ("ended_ns", "<i8"),  # 0 while alive
        ("client", "<u8", (2,)),
        ("virtual", "<u8", (2,)),
        ("source", "<u8", (2,)),  # source after translation; equals client without SNAT
        ("backend", "<u8", (2,)),  # equals virtual while not translated
        ("client_port", "<u2"),
        ("virtual_port", "<u2"),
        ("source_port", "<u2"),
        ("backend_port", "<u2"),
        ("netns", "<u4"),
        ("family", "u1"),
        ("protocol", "u1"),
        ("engine", "u1"),
        ("state", "u1"),
        ("seen", "<u4"),
        ("packets", "<u8", (2,)),  # original, reply
        ("bytes", "<u8", (2,)),
        ("leg_packets", "<u4", (4,)),
        ("leg_ifindex", "<u4", (4,)),  # interface whose packets are counted for each leg
        ("request_seq", "<u4"),
        ("retransmits", "<u2"),
        ("refusal", "<u2"),  # ICMP type << 8 | code of the last error
        ("too_big_ns", "<i8"),  # first ICMP about a packet that does not fit, 0 none
        ("refused_by", "<u8", (2,)),  # address that sent the reset or ICMP error
        ("drop_reason", "<u2"),  # text id
        ("drop_location", "<u4"),  # text id
        ("drop_netns", "<u4"),
        ("service", "<i4"),  # enricher's number, -1 none
        ("client_name", "<i4"),  # names number, 0 none
        ("backend_name", "<i4"),
        ("upstream", "<i8"),  # id of the flow whose translation is this flow's client tuple, 0 none
        ("downstream", "<i8"),
        ("former", "<i4"),  # 1 + row of the mapping that was on these ports before, 0 none known
        ("taken_by", "<i8"),  # id of the older flow whose tuple its mapping was to get, 0 none
        ("generation", "<u4"),  # cluster generation the names are from
        ("judged", "<u8"),  # evidence that diagnosis judged last, 0 never; see diagnosis/signs.py
        ("explained", "<u4"),  # finding that explains the row, 0 none; see diagnosis/engine.py
        ("tunnel", "<u2"),  # number of the tunnel its packets were captured inside, 0 none
        ("pairing", "u1"),  # percent sure of a translation read from packets, 0 none
        ("alive", "?"),
    ]
)

FlowRows = npt.NDArray[np.void]
"""Shape (n,), dtype ``FLOW``."""
Flows = FlowRows | Fields
"""The same, or field by field, as a FlowTable has them."""

Rows = npt.NDArray[np.intp]
"""Row numbers of a FlowTable: stable while the row is alive, reused later under another id."""
