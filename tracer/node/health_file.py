"""Asks this node's health check node ports once, for a state directory."""

from __future__ import annotations

from pathlib import Path

from tracer.cluster import file
from tracer.cluster.model import Cluster
from tracer.errors import InputError
from tracer.node import health_answers
from tracer.node.health import HealthAnswer
from tracer.node.health_poll import Addresses, ask

NAME = "health.json"
_FIELD = b"healthCheckNodePort"
_CLUSTERS = ("cluster.json", "cluster.yaml", "cluster.yml")


def write_health(directory: Path, addresses: Addresses) -> str:
    """Ask for each Service that the directory's cluster gives a health check node port.

    Nothing is written where there is none: a large cluster's file is not even parsed then.
    ``addresses``: those of the cluster's node that this machine really has. Returns why nobody
    was asked, else an empty text.
    """
    paths = [directory / name for name in _CLUSTERS]
    for path in paths:
        if path.exists() and _FIELD in path.read_bytes():
            try:
                cluster = file.load(path)
            except InputError as error:
                return f"{NAME}: {error.what} {error.why}"
            answers = asked(cluster, addresses(cluster))
            (directory / NAME).write_text(health_answers.dump(answers))
            break
    return ""


def asked(cluster: Cluster, ips: tuple[bytes, ...]) -> list[HealthAnswer]:
    """This node's answer for each such Service; half a second each at most."""
    wanted = [service for service in cluster.services if service.health_check_node_port]
    return [ask(service.key, service.health_check_node_port, ips) for service in wanted]
