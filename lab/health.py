"""What kube-proxy answers to load balancers, where the lab writes the rules in its place."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from lab.netns import Child
from lab.proxying import WrittenRules
from lab.scenario import Fault
from lab.topology import START_TIMEOUT_S, Topology
from tracer.cluster.model import Service
from tracer.errors import UnableError


def answers_health(node: str) -> Fault:
    """The node's health check node ports answer by its endpoints, as kube-proxy has them do.

    kube-proxy itself does so by itself.
    """

    def work(topology: Topology) -> None:
        if not isinstance(topology.proxies, WrittenRules):
            return
        for service in topology.cluster.services:
            if service.health_check_node_port:
                _start(topology, node, service)

    return work


def _start(topology: Topology, node: str, service: Service) -> None:
    endpoints = topology.cluster.endpoints_by_service.get(service.key, ())
    here = len({item.ip for item in endpoints if item.ready and item.node == node})
    ready, told = Pipe(duplex=False)
    port = service.health_check_node_port
    namespace = topology.namespace(node)
    child = Child(namespace, _serve, port, service.namespace, service.name, here, told)
    topology.servers[f"{node}/health-{port}"] = child
    told.close()
    if not ready.poll(START_TIMEOUT_S):
        raise UnableError(f"the health check node port of {service.key} did not open")
    ready.recv()


def _serve(port: int, namespace: str, name: str, here: int, ready: Connection) -> None:
    """Answer everybody the same, for ever."""
    service = {"namespace": namespace, "name": name}
    said = {"service": service, "localEndpoints": here, "serviceProxyHealthy": True}
    body = json.dumps(said).encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if here else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("0.0.0.0", port), Answer) as server:
        ready.send(port)
        ready.close()
        server.serve_forever()
