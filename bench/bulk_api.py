"""A fake API server for benches: thousands of objects, real wire format, ready-made answers.

Slices change at a steady rate; each change bears the time it was sent in a pod's name.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
NODES = 500
ENDPOINTS_A_SERVICE = 10
TICK_S = 0.02
VERSION = "1000000"
_MANAGED = [
    {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-31T12:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {f"f:field-{n}": {".": {}, "f:value": {}} for n in range(20)}},
    }
]
_CONTAINER = {
    "name": "app",
    "image": "registry.example.com/team/application@sha256:" + "0123456789abcdef" * 4,
    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
    "env": [{"name": f"SETTING_{n}", "value": f"value-{n}"} for n in range(12)],
    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io"}],
}


class Size(NamedTuple):
    """How much there is, and how fast it changes."""

    services: int
    pods: int
    changes_a_second: int


def ip(base: int, number: int) -> str:
    """The address of an object."""
    return f"{base}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def metadata(name: str, **more: Any) -> dict[str, Any]:
    """What every object has."""
    return {
        "name": name,
        "uid": f"00000000-0000-4000-8000-{abs(hash(name)) % 10**12:012d}",
        "resourceVersion": VERSION,
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "managedFields": _MANAGED,
        **more,
    }


def node(number: int) -> dict[str, Any]:
    """A Node with a range of its own."""
    addresses = [{"type": "InternalIP", "address": ip(192, number)}]
    return {
        "metadata": metadata(f"node-{number}", labels={}),
        "spec": {"podCIDR": f"10.{number >> 8}.{number & 255}.0/24"},
        "status": {"addresses": addresses, "images": [{"names": ["x" * 80]}] * 20},
    }


def service(number: int) -> dict[str, Any]:
    """A ClusterIP Service with one port."""
    port = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}
    spec = {"clusterIP": ip(11, number), "clusterIPs": [ip(11, number)], "ports": [port]}
    name = {"namespace": f"team-{number % 100}"}
    return {"metadata": metadata(f"svc-{number}", **name), "spec": spec | {"type": "ClusterIP"}}


def slice_of(number: int, first_pod: str = "") -> dict[str, Any]:
    """The EndpointSlice of a Service; ``first_pod`` replaces the first pod's name."""
    namespace = f"team-{number % 100}"
    owned = {"kubernetes.io/service-name": f"svc-{number}"}
    endpoints = []
    for at in range(number * ENDPOINTS_A_SERVICE, (number + 1) * ENDPOINTS_A_SERVICE):
        target = {"kind": "Pod", "namespace": namespace, "name": f"pod-{at}", "uid": str(at)}
        endpoints.append(
            {
                "addresses": [ip(10, at)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{at % NODES}",
                "targetRef": target,
                "zone": "zone-a",
            }
        )
    if first_pod:
        endpoints[0]["targetRef"] |= {"name": first_pod}
        endpoints[0]["addresses"] = [ip(12, time.monotonic_ns() >> 16)]
    return {
        "metadata": metadata(f"svc-{number}-x", namespace=namespace, labels=owned),
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def pod(number: int) -> dict[str, Any]:
    """A running Pod of about 4 KB."""
    where = {"namespace": f"team-{number // ENDPOINTS_A_SERVICE % 100}"}
    address = ip(10, number)
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": t, "status": "True"} for t in ("Ready", "Initialized")],
    }
    spec = {"nodeName": f"node-{number % NODES}", "containers": [_CONTAINER]}
    return {"metadata": metadata(f"pod-{number}", **where), "spec": spec, "status": status}


class Bulk:
    """All objects as JSON."""

    def __init__(self, size: Size) -> None:
        counts = (("/api/v1/nodes", node, NODES), ("/api/v1/services", service, size.services))
        more = ((SLICES, slice_of, size.services), ("/api/v1/pods", pod, size.pods))
        self.size = size
        self.items = {
            path: [json.dumps(make(n), separators=(",", ":")).encode() for n in range(count)]
            for path, make, count in (*counts, *more)
        }

    def page(self, path: str, query: dict[str, str]) -> bytes:
        """A list, or as much of it as was asked for."""
        items = self.items[path]
        begin = int(query.get("continue", 0))
        end = min(begin + int(query.get("limit", len(items))), len(items))
        more = f',"continue":"{end}"' if end < len(items) else ""
        head = f'{{"kind":"List","metadata":{{"resourceVersion":"{VERSION}"{more}}},"items":['
        return head.encode() + b",".join(items[begin:end]) + b"]}"

    def changes(self) -> Iterator[bytes]:
        """Lines of a watch, at the rate of ``size``, for ever."""
        number, began = 0, time.monotonic()
        while True:
            due = int((time.monotonic() - began) * self.size.changes_a_second)
            lines = []
            for at in range(number, due):
                changed = slice_of(at * 7919 % self.size.services, f"sent-{time.time_ns()}")
                lines.append(json.dumps({"type": "MODIFIED", "object": changed}).encode() + b"\n")
            number = due
            yield from lines
            time.sleep(TICK_S)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bulk: Bulk
    go: Any

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """A list or a watch."""
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.send_response(200)
        if "watch" not in query:
            body = self.bulk.page(parts.path, query)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.go.wait()
        try:
            for line in self.bulk.changes() if parts.path == SLICES else ():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(3600)
        except OSError:
            self.close_connection = True


def _serve(size: Size, ready: Connection, go: Any, processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    _Handler.bulk, _Handler.go = Bulk(size), go
    server = _Server(("127.0.0.1", 0), _Handler)
    ready.send(server.server_address[1])
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    """A client that is done hangs up in mid-watch: no reason to print anything."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Told only of what is not that."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class BulkApi:
    """The server in a process and on a processor of its own."""

    def __init__(self, size: Size, processor: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.go = context.Event()
        """Set: slices begin to change."""
        self._process = context.Process(
            target=_serve, args=(size, theirs, self.go, processor), daemon=True
        )
        self._process.start()
        self.port: int = ours.recv()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
