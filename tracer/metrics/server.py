"""The HTTP end of the metrics: prometheus_client's own server, on one address."""

from __future__ import annotations

import socket
from collections.abc import Callable
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from tracer.errors import InputError, UnableError
from tracer.metrics.counts import Figures
from tracer.metrics.families import Families

REQUEST_S = 5.0
"""A client that is slower than this holds no thread any longer."""
_WAYS = "For example: --metrics 127.0.0.1:9464, '[::1]:9464', or :9464 for every address."


def place_of(text: str) -> tuple[str, int]:
    """Host and port of ``ADDR:PORT``; InputError where it is none."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host.startswith("[") and host.endswith("]")
    usable = colon and port.isascii() and port.isdigit() and 0 <= int(port) <= 65535
    if not usable or (":" in bare and not bracketed):
        raise InputError(f"--metrics {text!r} is no ADDR:PORT.", "", _WAYS)
    return bare or "::", int(port)


class _Hurried(WSGIRequestHandler):
    """Gives up on clients that dawdle, and writes no log of requests."""

    timeout = REQUEST_S

    def log_message(self, format: str, *args: object) -> None:
        """Standard error belongs to what the user should read."""


class MetricsServer:
    """Answers GET /metrics until closed; its thread is prometheus_client's."""

    def __init__(self, place: tuple[str, int], figures: Callable[[], Figures]) -> None:
        """Bind now: an address that is taken is told before anything is attached."""
        registry = CollectorRegistry()
        registry.register(Families(figures))
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        try:
            self._server, self._thread = start_http_server(place[1], place[0], registry)
        except (OSError, socket.gaierror) as error:
            raise UnableError(
                f"Cannot serve metrics on {place[0]} port {place[1]}.", error.strerror or "", _WAYS
            ) from error
        self._server.RequestHandlerClass = _Hurried

    @property
    def port(self) -> int:
        """The port it answers on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
