"""What the kernel says about packets it freed: rows picked by reason, place and namespace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracer.diagnosis import signs
from tracer.diagnosis.rule import Scene
from tracer.flow import Rows, Seen

_VERDICT_PLACES = frozenset({"nf_hook_slow", "nft_do_chain"})
"""Where netfilter frees what it drops; kernels before 5.17 give no reason but the place."""
_HOUSEKEEPING = frozenset(
    {
        "ip_rt_send_redirect",
        "skb_queue_purge",
        "skb_queue_purge_reason",
        "sk_stream_kill_queues",
        "inet_sock_destruct",
        "packet_rcv",
        "tpacket_rcv",
        "raw_rcv",
    }
)
"""Places where sockets are torn down, redirects are cut or copies for listeners end."""
_STATE_MACHINE = frozenset({"tcp_v4_rcv", "tcp_v6_rcv", "tcp_v4_do_rcv", "tcp_v6_do_rcv"})
"""With NOT_SPECIFIED: TCP discards a segment it has no use for."""
_BOOKKEEPING = frozenset(
    {
        *("SKB_CONSUMED", "SKB_NOT_DROPPED_YET", "QUEUE_PURGE", "SOCKET_CLOSE", "OTHERHOST"),
        *("TCP_OFOMERGE", "TCP_OFO_DROP", "TCP_OFO_QUEUE_PRUNE", "TCP_OLD_DATA", "TCP_OLD_ACK"),
        *("TCP_OLD_SEQUENCE", "TCP_INVALID_SEQUENCE", "TCP_INVALID_ACK_SEQUENCE", "TCP_CLOSE"),
        *("TCP_INVALID_END_SEQUENCE", "TCP_TOO_OLD_ACK", "TCP_ACK_UNSENT_DATA", "TCP_RESET"),
        *("TCP_OVERWINDOW", "TCP_ZEROWINDOW", "TCP_FASTOPEN", "TCP_RFC7323_PAWS"),
        *("TCP_RFC7323_PAWS_ACK", "TCP_RFC7323_TW_PAWS", "TCP_RFC7323_TSECR"),
    }
)
"""Reasons (``enum skb_drop_reason``, Linux 6.18) that go with connections that work."""
_AF_INET = 2


def with_reason(scene: Scene, rows: Rows, *reasons: str) -> signs.Mask:
    """Dropped, the last time for one of these reasons."""
    return _named(scene, rows, "drop_reason", lambda text: text in reasons)


def at_place(scene: Scene, rows: Rows, *functions: str) -> signs.Mask:
    """Dropped, the last time in one of these kernel functions."""
    return _named(scene, rows, "drop_location", lambda text: _function(text) in functions)


def by_netfilter(scene: Scene, rows: Rows) -> signs.Mask:
    """Dropped by a rule, a policy or another hook of netfilter."""
    told = with_reason(scene, rows, "NETFILTER_DROP")
    return told | at_place(scene, rows, *_VERDICT_PLACES)


def too_old(scene: Scene, rows: Rows) -> signs.Mask:
    """Thrown away, or refused, because their time to live was over."""
    flows = scene.table.flows
    exceeded = np.where(flows["family"][rows] == _AF_INET, 11 << 8, 3 << 8)
    aged = signs.has(flows, rows, Seen.ICMP_REFUSED) & (flows["refusal"][rows] == exceeded)
    return aged | with_reason(scene, rows, "IP_INHDR") & at_place(
        scene, rows, "ip_forward", "ip6_forward"
    )


def everyday(scene: Scene, rows: Rows) -> signs.Mask:
    """Dropped, the last time, as it happens to connections that work, too."""
    flows = scene.table.flows
    found = signs.has(flows, rows, Seen.DROPPED)
    if not found.any():
        return found
    where = rows[found]
    pairs = np.column_stack((flows["drop_reason"][where], flows["drop_location"][where]))
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    told = [(scene.text(int(reason)), scene.text(int(place))) for reason, place in unique]
    benign = np.array([_benign(reason, _function(place)) for reason, place in told], dtype=np.bool_)
    found[found] = benign[inverse.reshape(-1)]
    return found


def failed(scene: Scene, rows: Rows) -> signs.Mask:
    """A kernel says that it lost them: everyday drops do not say so.

    Probes tell of a drop before packets tell of the answer that came all the same.
    """
    told = signs.has(scene.table.flows, rows, signs.HURT)
    hurt = signs.has(scene.table.flows, rows, signs.HURT & ~Seen.DROPPED)
    return told & (hurt | ~everyday(scene, rows))


def on_this_node(scene: Scene, rows: Rows) -> signs.Mask:
    """Whether the last drop was in the node's own namespace, not in a pod's."""
    where = scene.table.flows["drop_netns"][rows]
    return np.asarray((where == 0) | (where == scene.table.home_netns))


def _benign(reason: str, function: str) -> bool:
    if function in _HOUSEKEEPING:
        return True
    if reason in ("", "NOT_SPECIFIED"):
        return function in _STATE_MACHINE
    return reason in _BOOKKEEPING


def _function(place: str) -> str:
    """``name`` of ``name.constprop.0+0x1c``: compilers make copies of functions."""
    return place.partition("+")[0].partition(".")[0]


def _named(scene: Scene, rows: Rows, column: str, wanted: Callable[[str], bool]) -> signs.Mask:
    flows = scene.table.flows
    dropped = signs.has(flows, rows, Seen.DROPPED)
    numbers = np.unique(flows[column][rows[dropped]])
    meant = [number for number in numbers if wanted(scene.text(int(number)))]
    return dropped & np.isin(flows[column][rows], meant)
