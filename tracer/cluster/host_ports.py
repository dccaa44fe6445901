"""Where the host ports of pods are taken: on one address of the node, on a family's, on all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.address import is_ipv4, parse
from tracer.cluster.model import HostPort

_EVERYWHERE = frozenset(map(parse, ("0.0.0.0", "::")))


def bound(port: HostPort) -> bool:
    """Whether it is taken on one address only."""
    return bool(port.ip) and port.ip not in _EVERYWHERE


def taken_on(port: HostPort, node: Iterable[bytes]) -> Iterator[bytes]:
    """Where it is taken, of a node with these addresses; its own need not be among them."""
    if bound(port):
        yield port.ip
    else:
        yield from (ip for ip in node if not port.ip or is_ipv4(ip) == is_ipv4(port.ip))
