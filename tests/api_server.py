"""A small Kubernetes API server: real HTTP, real wire format, on loopback, in a thread.

It lists in pages, watches from a version, sends bookmarks, forgets old versions, and
misbehaves on demand.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PATHS = {
    "/api/v1/nodes": ("nodes", "Node", "v1"),
    "/api/v1/services": ("services", "Service", "v1"),
    "/api/v1/pods": ("pods", "Pod", "v1"),
    "/apis/discovery.k8s.io/v1/endpointslices": (
        *("endpointslices", "EndpointSlice"),
        "discovery.k8s.io/v1",
    ),
}
_TICK_S = 0.01


@dataclass
class State:
    """What the server holds, and how it misbehaves; outlives a restart of the server."""

    objects: dict[str, dict[tuple[str, str], dict]] = field(default_factory=dict)
    log: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    """(version, kind, event type, object as JSON)."""
    version: int = 1000
    oldest: int = 0
    """Versions before this one are forgotten."""
    forbidden: set[str] = field(default_factory=set)
    unwatchable: set[str] = field(default_factory=set)
    narrow: set[str] = field(default_factory=set)
    """Kinds that are given only with a field selector."""
    token: str = ""
    cuts: int = 0
    """Raised by one, all watches are cut off."""
    raw: dict[str, list[bytes]] = field(default_factory=dict)
    """Lines that watches of a kind send as they are, once."""
    spoilt: dict[str, list[bytes]] = field(default_factory=dict)
    """Bodies that lists of a kind are answered with, once each."""
    slow_s: float = 0.0
    requests: list[str] = field(default_factory=list)

    def put(self, kind: str, made: dict, event: str = "") -> None:
        """Add or change an object."""
        key = (made["metadata"].get("namespace", ""), made["metadata"]["name"])
        known = self.objects.setdefault(kind, {})
        self.version += 1
        made["metadata"]["resourceVersion"] = str(self.version)
        event = event or ("MODIFIED" if key in known else "ADDED")
        known[key] = made
        self.log.append((self.version, kind, event, json.dumps(made).encode()))

    def drop(self, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object."""
        made = self.objects[kind].pop((namespace, name))
        self.version += 1
        made["metadata"]["resourceVersion"] = str(self.version)
        self.log.append((self.version, kind, "DELETED", json.dumps(made).encode()))

    def bookmark(self, kind: str) -> None:
        """Tell watchers how far they are."""
        self.version += 1
        made = {"kind": kind, "metadata": {"resourceVersion": str(self.version)}}
        self.log.append((self.version, kind, "BOOKMARK", json.dumps(made).encode()))

    def forget(self) -> None:
        """Compact: no watch can begin before now."""
        self.oldest = self.version

    def asked(self, kind: str, wanted: Callable[[dict[str, str]], bool]) -> int:
        """How many requests for a kind had such parameters."""
        found = 0
        for request in self.requests:
            parts = urlsplit(request)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            found += PATHS[parts.path][0] == kind and wanted(query)
        return found


class ApiServer:
    """Serves a state until it is closed; a second one may go on at the same port."""

    def __init__(self, state: State, port: int = 0) -> None:
        self.state = state
        self._down = threading.Event()
        self._open: set[socket.socket] = set()
        known = {"state": state, "down": self._down, "open": self._open}
        handler = type("Handler", (_Handler,), known)
        self._server = _Server(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_TICK_S,))
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self._down.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, address) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # else the client has gone
            super().handle_error(request, address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State
    down: threading.Event
    open: set[socket.socket]

    def setup(self) -> None:
        super().setup()
        self.open.add(self.request)

    def finish(self) -> None:
        self.open.discard(self.request)
        super().finish()

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        kind = PATHS[parts.path][0]
        self.state.requests.append(self.path)
        if self.state.slow_s:
            self.down.wait(self.state.slow_s)
        if self.state.token and self.headers["Authorization"] != f"Bearer {self.state.token}":
            self._status(401, "Unauthorized")
        elif kind in self.state.forbidden or ("watch" in query and kind in self.state.unwatchable):
            self._status(403, f'{kind} is forbidden: User "tester" cannot list resource')
        elif kind in self.state.narrow and "fieldSelector" not in query:
            self._status(403, f"{kind} is forbidden: only its own")
        elif "watch" in query:
            self._watch(kind, query)
        else:
            self._list(parts.path, query)

    def _status(self, code: int, message: str) -> None:
        body = {"kind": "Status", "apiVersion": "v1", "code": code, "message": message}
        self._body(json.dumps(body).encode(), code)

    def _body(self, body: bytes, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _list(self, path: str, query: dict[str, str]) -> None:
        kind, single, version = PATHS[path]
        spoilt = self.state.spoilt.get(kind)
        if spoilt:
            self._body(spoilt.pop(0))
            return
        begin, at = 0, self.state.version
        if "continue" in query:
            begin, at = map(int, query["continue"].split("-"))
            if at < self.state.oldest:
                self._status(410, "The provided continue parameter is too old")
                return
        found = [
            one for one in list(self.state.objects.get(kind, {}).values()) if _chosen(one, query)
        ]
        end = begin + int(query.get("limit", len(found) or 1))
        meta = {"resourceVersion": str(at)}
        if end < len(found):
            meta["continue"] = f"{end}-{at}"
        page = {"kind": f"{single}List", "apiVersion": version, "metadata": meta}
        self._body(json.dumps(page | {"items": found[begin:end] or None}).encode())

    def _watch(self, kind: str, query: dict[str, str]) -> None:
        state, version = self.state, int(query["resourceVersion"])
        cuts = state.cuts
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if version < state.oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            self._event("ERROR", json.dumps(gone).encode())
            self._chunk(b"")
            return
        place = 0
        while not self.down.is_set() and state.cuts == cuts:
            for line in [state.raw[kind].pop(0)] if state.raw.get(kind) else ():
                self._chunk(line + b"\n")
            for number, of, event, made in state.log[place:]:
                place += 1
                if number > version and of == kind and _chosen(json.loads(made), query):
                    self._event(event, made)
            time.sleep(_TICK_S)
        self.close_connection = True

    def _event(self, event: str, made: bytes) -> None:
        self._chunk(b'{"type":"%s","object":%s}\n' % (event.encode(), made))

    def _chunk(self, data: bytes) -> None:
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:
            self.close_connection = True


def _chosen(made: dict, query: dict[str, str]) -> bool:
    field_name, _, value = query.get("fieldSelector", "").partition("=")
    if not field_name:
        return True
    found = made
    for part in field_name.split("."):
        found = found.get(part, {})
    return found == value
