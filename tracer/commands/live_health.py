"""Health check node ports, asked while somebody can see the answers."""

from __future__ import annotations

from tracer import address
from tracer.commands.live_cluster import LiveCluster
from tracer.node.collect import Collector
from tracer.node.health import HealthAnswer
from tracer.node.health_poll import HealthPoll
from tracer.session import StateReader
from tracer.sources import Problem


class LiveHealth:
    """Asks if wanted; the answers go into the node's state, and so onto screen and recording."""

    def __init__(self, wanted: bool, cluster: LiveCluster, collector: Collector) -> None:
        self._poll = HealthPoll(cluster.latest, collector.own_addresses) if wanted else None

    @property
    def readers(self) -> tuple[StateReader, ...]:
        """Who asks."""
        return (self._poll,) if self._poll else ()

    def answers(self) -> tuple[HealthAnswer, ...]:
        """The latest answer of each Service."""
        return self._poll.answers if self._poll else ()

    def problems(self) -> list[Problem]:
        """Ports on which nobody answers: load balancers leave this node out."""
        silent = [answer for answer in self.answers() if not answer.status]
        if not silent:
            return []
        first = silent[0]
        others = f", and {len(silent) - 1} more" if len(silent) > 1 else ""
        at = address.endpoint(first.ip, first.port) if first.ip else f"port {first.port}"
        why = f"{at} of {first.service}: {first.why}{others}"
        return [Problem("health checks fail", why, "load balancers leave this node out")]
