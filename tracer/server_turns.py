"""When IPVS took up endpoints and let go of them, from one reading of its servers to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tracer import address
from tracer.cluster.model import EndpointKey, Turn
from tracer.enrich import Enricher
from tracer.node.model import NodeState, VirtualServer

KEPT = 10_000
"""Turns that are remembered; the oldest go first."""

_Server = tuple[int, bytes, int]
_Backends = frozenset[tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class ServerTurn:
    """One endpoint that a virtual server began, or ceased, to give new connections to."""

    at_ns: int
    """Wall clock of the reading that shows it first."""
    turn: Turn
    """``JOINED`` or ``LEFT``; a weight of 0 is as good as gone."""
    endpoint: EndpointKey


class ServerTurns:
    """Compares each state of the node with the one before."""

    def __init__(self) -> None:
        self._turns: deque[ServerTurn] = deque(maxlen=KEPT)
        self._servers: tuple[VirtualServer, ...] | None = None
        self.watched = False
        """Whether there were two readings to compare, with servers in one of them."""

    def __iter__(self) -> Iterator[ServerTurn]:
        """Oldest first."""
        return iter(self._turns)

    def note(self, node: NodeState, enricher: Enricher) -> None:
        """Take the next state; servers of addresses that are no Service's are left out."""
        if "virtual_servers" not in node.known:
            self._servers = None  # what changes meanwhile cannot be dated
            return
        before, self._servers = self._servers, node.virtual_servers
        if before is None:
            return
        self.watched |= bool(before or node.virtual_servers)
        if before == node.virtual_servers:
            return
        then, now = _used(before), _used(node.virtual_servers)
        changed = [key for key in then | now if then.get(key) != now.get(key)]
        for server, service in _services(changed, enricher):
            old, new = then.get(server, frozenset()), now.get(server, frozenset())
            for turn, found in ((Turn.JOINED, new - old), (Turn.LEFT, old - new)):
                for ip, port in sorted(found):
                    endpoint = service, server[0], ip, port
                    self._turns.append(ServerTurn(node.at_ns, turn, endpoint))


def _used(servers: Iterable[VirtualServer]) -> dict[_Server, _Backends]:
    """The backends of each server that new connections may go to."""
    return {
        (server.protocol, server.ip, server.port): frozenset(
            (ip, port) for ip, port, weight in server.backends if weight > 0
        )
        for server in servers
    }


def _services(servers: list[_Server], enricher: Enricher) -> Iterator[tuple[_Server, str]]:
    """The Service of each server that has one; the loop is over servers that changed."""
    numbers = enricher.services_of(
        address.column(ip for _, ip, _ in servers),
        np.array([port for _, _, port in servers], dtype=np.uint16),
        np.array([protocol for protocol, _, _ in servers], dtype=np.uint8),
    )
    for server, number in zip(servers, numbers.tolist(), strict=True):
        hit = enricher.hit(number)
        if hit is not None:
            yield server, hit.key
