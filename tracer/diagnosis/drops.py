"""What the kernel says about packets it freed: rows picked by reason, place and namespace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracer.diagnosis import signs
from tracer.diagnosis.rule import Scene
from tracer.flow import Rows, Seen

_VERDICT_PLACES = frozenset({"nf_hook_slow", "nft_do_chain"})
"""Where netfilter frees what it drops; kernels before 5.17 give no reason but the place."""
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


def on_this_node(scene: Scene, rows: Rows) -> signs.Mask:
    """Whether the last drop was in the node's own namespace, not in a pod's."""
    where = scene.table.flows["drop_netns"][rows]
    return np.asarray((where == 0) | (where == scene.table.home_netns))


def _function(place: str) -> str:
    """``name`` of ``name.constprop.0+0x1c``: compilers make copies of functions."""
    return place.partition("+")[0].partition(".")[0]


def _named(scene: Scene, rows: Rows, column: str, wanted: Callable[[str], bool]) -> signs.Mask:
    flows = scene.table.flows
    dropped = signs.has(flows, rows, Seen.DROPPED)
    numbers = np.unique(flows[column][rows[dropped]])
    meant = [number for number in numbers if wanted(scene.text(int(number)))]
    return dropped & np.isin(flows[column][rows], meant)
