"""The node's state kept up to date: read again when the kernel tells of a change, or in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tracer.cluster.model import Cluster
from tracer.node.collect import Collector
from tracer.node.health import HealthAnswer
from tracer.node.model import NodeState
from tracer.node.netlink import readable
from tracer.node.rtnetlink import AddressWatcher

EVERY_S = 1.0
"""Virtual servers and sysctls change without a word: look this often."""
AT_MOST_EVERY_S = 0.1
"""kube-proxy adds addresses by the hundred, each with a notice of its own."""
REFRESH_S = 10.0
"""A state that differs only by its counters is handed out this often."""
_COUNTER = "net.netfilter.nf_conntrack_count"


class NodeReader:
    """Hands out the state whenever it has changed."""

    def __init__(
        self,
        collector: Collector,
        cluster: Callable[[], Cluster | None] = lambda: None,
        health: Callable[[], tuple[HealthAnswer, ...]] = tuple,
    ) -> None:
        """``cluster`` answers with the latest one: which node this is depends on it.

        ``health``: the latest answers on health check node ports.
        """
        self._collector = collector
        self._cluster, self._health = cluster, health
        self._watcher = AddressWatcher()
        self._read_at = self._told_at = float("-inf")
        self._told: NodeState | None = None

    def poll(self, timeout: float) -> NodeState | None:
        """The new state, or None when nothing changed within ``timeout`` seconds."""
        if not self._wait(timeout):
            return None
        now = time.monotonic()
        self._watcher.changed()
        self._read_at = now
        self._collector.refresh_rules()
        state = self._collector.collect(self._cluster())
        state = replace(state, health_answers=self._health())
        if now < self._told_at + REFRESH_S and _same(state, self._told):
            return None
        self._told, self._told_at = state, now
        return state

    def _wait(self, timeout: float) -> bool:
        """Whether to read again now, after at most ``timeout`` seconds."""
        now = time.monotonic()
        due = self._read_at + EVERY_S
        soonest = self._read_at + AT_MOST_EVERY_S
        if now < soonest:
            time.sleep(min(timeout, soonest - now))
            return False
        if now < due and not readable(self._watcher, min(timeout, due - now)):
            return time.monotonic() >= due
        return True

    def close(self) -> None:
        """Close the watcher; safe to call twice."""
        self._watcher.close()


def _same(state: NodeState, other: NodeState | None) -> bool:
    """Whether two states differ only by time, by counters and by who answered ARP lately."""
    return other is not None and _lasting(state) == _lasting(other)


def _lasting(state: NodeState) -> NodeState:
    sysctls = {name: value for name, value in state.sysctls.items() if name != _COUNTER}
    return replace(state, at_ns=0, sysctls=sysctls, neighbours=())
