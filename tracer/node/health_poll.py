"""Asks this node's health check node ports, as load balancers do: local only, one at a time.

Whoever listens there may answer anything, slowly or without an end: of an answer a few
kilobytes are read within half a second, and only numbers of it are kept.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import time
from collections import deque
from collections.abc import Callable

from tracer import address
from tracer.cluster.model import Cluster, Service
from tracer.node.health import HealthAnswer
from tracer.node.health_answers import FAR, OTHER, REFUSED, SILENT, UNASKED

PATIENCE_S = 0.5
"""For connection and answer together."""
EVERY_S = 5.0
"""Seconds between the beginnings of two rounds."""
PAUSE_S = 0.05
"""Between two questions of a round."""
_MOST_BYTES = 4096
_MOST_ENDPOINTS = 1_000_000
_PATH = "/healthz"
"""kube-proxy answers on any path; this is the one that cloud load balancers ask for."""

Addresses = Callable[[Cluster], tuple[bytes, ...]]


class HealthPoll:
    """A reader beside the others; whoever wants the answers takes ``answers``."""

    def __init__(self, cluster: Callable[[], Cluster], addresses: Addresses) -> None:
        """``addresses``: those of the cluster's node that this machine really has."""
        self._cluster, self._addresses = cluster, addresses
        self._ips: tuple[bytes, ...] = ()
        self._left: deque[Service] = deque()
        """Those that this round has yet to ask for."""
        self._due = self._round_due = float("-inf")
        self.answers: tuple[HealthAnswer, ...] = ()
        """The latest of each Service; replaced as a whole."""

    def poll(self, timeout: float) -> None:
        """Ask for one Service if it is time to; there is never a state to hand out."""
        now = time.monotonic()
        if now < self._due:
            time.sleep(min(timeout, self._due - now))
            return
        if not self._left:
            self._begin(now)
        if self._left:
            self._ask(self._left.popleft())
        self._due = time.monotonic() + PAUSE_S if self._left else self._round_due

    def _begin(self, now: float) -> None:
        """A new round; answers of Services that are gone are forgotten."""
        self._round_due = now + EVERY_S
        cluster = self._cluster()
        services = [service for service in cluster.services if service.health_check_node_port]
        self._ips = self._addresses(cluster) if services else ()
        self._left.extend(services if self._ips else ())
        ports = {(service.key, service.health_check_node_port) for service in self._left}
        self.answers = tuple(each for each in self.answers if (each.service, each.port) in ports)

    def _ask(self, service: Service) -> None:
        answer = ask(service.key, service.health_check_node_port, self._ips)
        others = tuple(each for each in self.answers if each.service != service.key)
        self.answers = (*others, answer)


def ask(service: str, port: int, ips: tuple[bytes, ...]) -> HealthAnswer:
    """The answer of the first address on which somebody listens; else what befell at the first."""
    failed: list[HealthAnswer] = []
    for ip in ips:
        try:
            status, count = _answer(_fetched(address.text(ip), port))
            return HealthAnswer(service, port, ip, status, count)
        except ConnectionRefusedError:
            failed.append(HealthAnswer(service, port, ip, why=REFUSED))
        except TimeoutError:
            return HealthAnswer(service, port, ip, why=SILENT)
        except (http.client.HTTPException, ValueError):  # some of them are OSErrors, too
            return HealthAnswer(service, port, ip, why=OTHER)
        except OSError:
            failed.append(HealthAnswer(service, port, ip, why=FAR))
    return failed[0] if failed else HealthAnswer(service, port, b"", why=UNASKED)


def _fetched(host: str, port: int) -> bytes:
    """What comes back, cut off where it is too long or too slow; OSError if nothing can."""
    ends_at = time.monotonic() + PATIENCE_S
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as channel:
        channel.settimeout(PATIENCE_S)
        channel.bind((host, 0))  # fails unless the address is this machine's
        channel.connect((host, port))
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        request = f"GET {_PATH} HTTP/1.0\r\nHost: {name}\r\nUser-Agent: viptrace\r\n\r\n"
        channel.sendall(request.encode("ascii"))
        received = bytearray()
        while len(received) < _MOST_BYTES:
            channel.settimeout(max(ends_at - time.monotonic(), 0.001))
            part = channel.recv(_MOST_BYTES - len(received))
            if not part:
                break
            received += part
        return bytes(received)


class _Received:
    """Bytes that ``http.client`` takes for a socket's."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        """All of them."""
        return io.BytesIO(self._data)


def _answer(data: bytes) -> tuple[int, int]:
    """Status, and the endpoints that the body counts; HTTPException if it is no answer."""
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
    response.begin()
    try:
        said = json.loads(response.read(_MOST_BYTES))
    except (ValueError, RecursionError, http.client.HTTPException):
        return response.status, -1
    count = said.get("localEndpoints") if isinstance(said, dict) else None
    if type(count) is int and 0 <= count <= _MOST_ENDPOINTS:
        return response.status, count
    return response.status, -1
