"""One node's state and its cluster's objects: from a directory, or as they are now."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click

from tracer.cluster.file import load as load_cluster
from tracer.cluster.model import Cluster
from tracer.commands.api_objects import from_api
from tracer.events import EventBatch
from tracer.node.identity import host_names, node_of, told_name
from tracer.node.model import NodeState
from tracer.node.state_dir import load as load_state
from tracer.node.state_dir import require_files
from tracer.node.state_files import write_cluster, write_state
from tracer.plain import harmless

_CLUSTER_FILES = ("cluster.json", "cluster.yaml", "cluster.yml")


class Input(NamedTuple):
    """What a question about a node is answered from."""

    node: NodeState
    cluster: Cluster
    existing: EventBatch
    """The connections there are."""
    missing: tuple[str, ...] = ()
    """What could not be collected, and why."""


def read(directory: Path, cluster: Path | None) -> Input:
    """A state directory that the user named; the cluster from ``cluster``, else from there."""
    require_files(directory)
    return _read(directory, cluster)


def _read(directory: Path, cluster: Path | None) -> Input:
    node, existing = load_state(directory)
    places = [cluster] if cluster else [directory / name for name in _CLUSTER_FILES]
    chosen = next((place for place in places if cluster or place.exists()), None)
    objects = load_cluster(chosen) if chosen else Cluster(known=frozenset())
    return Input(node, objects, existing)


def collected(cluster: Path | None) -> Input:
    """This node now: collected as files, and read as anybody's files are."""
    with TemporaryDirectory(prefix="viptrace-") as place:
        directory = Path(place)
        notes = write_state(directory)
        objects = None
        if cluster is None and (why := write_cluster(directory, None)):
            objects, why_api = from_api()
            notes += [] if objects else [f"{why}; {why_api}"]
        for note in notes:
            click.echo(f"not collected: {harmless(note)}", err=True)
        found = _read(directory, cluster)
        missing = tuple(f"not collected: {note}" for note in notes)
        return found._replace(missing=missing, cluster=objects or found.cluster)


def name_of(found: Input, *, live: bool) -> str:
    """Which of the cluster's nodes this is; empty if that cannot be said."""
    if live:
        return told_name() or node_of(found.cluster, found.node, host_names())
    return node_of(found.cluster, found.node)


def unparsed(found: Input) -> list[str]:
    """Lines about everything that was not understood."""
    return [harmless(place) for place in (*found.node.unparsed, *found.cluster.unparsed)]
