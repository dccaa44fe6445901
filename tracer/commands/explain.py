"""``viptrace explain``: the path a packet would take through this node, rule by rule."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from tracer.plain import harmless, numbered

if TYPE_CHECKING:
    from tracer.cluster.model import Cluster
    from tracer.node.model import NodeState
    from tracer.path.ask import Explanation

_CLUSTER_FILES = ("cluster.json", "cluster.yaml", "cluster.yml")


@click.command(short_help="The path a packet would take here, rule by rule.")
@click.argument("source", metavar="SRC[:PORT]")
@click.argument("destination", metavar="DST:PORT[/udp|/sctp]")
@click.option(
    "--from",
    "sender",
    default="",
    metavar="pod:ns/name|iface:NAME|local",
    help="Where it comes from; else told by SRC and the routes.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A state directory instead of this node.",
)
@click.option(
    "--cluster",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The cluster's objects; else those in the state directory.",
)
@click.option("--node", default="", metavar="NAME", help="Name of this node in the cluster.")
@click.option("--json", "json_lines", is_flag=True, help="One JSON object.")
def explain(
    source: str,
    destination: str,
    sender: str,
    state: Path | None,
    cluster: Path | None,
    node: str,
    json_lines: bool,
) -> int:
    """Walk the first packet of a connection from SRC to DST through this node's rules.

    Addresses, routes, iptables, nftables, sets, IPVS and sysctls are taken as they are now, or
    from a state directory. Where they do not tell, the verdict is unknown and says why.
    """
    # NumPy hangs on the connection tables: help and mistakes must not wait for it.
    from tracer.path.ask import explain as walk
    from tracer.path.ask import packet_of
    from tracer.path.report import as_json, as_tree

    packet = packet_of(source, destination)
    if state is not None:
        found, objects = _read(state, cluster)
    else:
        found, objects = _collected(cluster)
    explanation = walk(found, objects, packet, sender, node or _node_name(found, objects))
    if json_lines:
        click.echo(json.dumps(as_json(explanation), ensure_ascii=False))
    else:
        lines = as_tree(explanation) + _remedy(explanation)
        click.echo("\n".join([*lines, *_unparsed(found, objects)]))
    return 0


def _read(directory: Path, cluster: Path | None) -> tuple[NodeState, Cluster]:
    from tracer.cluster.file import load as load_cluster
    from tracer.cluster.model import Cluster
    from tracer.node.state_dir import load as load_state

    found, _ = load_state(directory)
    places = [cluster] if cluster else [directory / name for name in _CLUSTER_FILES]
    chosen = next((place for place in places if place.exists()), None)
    return found, load_cluster(chosen) if chosen else Cluster(known=frozenset())


def _collected(cluster: Path | None) -> tuple[NodeState, Cluster]:
    """This node now: collected as files, and read as anybody's files are."""
    from tracer.node.state_files import write_cluster, write_state

    with TemporaryDirectory(prefix="viptrace-") as place:
        directory = Path(place)
        notes = write_state(directory)
        if cluster is None and (why := write_cluster(directory, None)):
            notes.append(why)
        for note in notes:
            click.echo(f"not collected: {harmless(note)}", err=True)
        return _read(directory, cluster)


def _node_name(state: NodeState, cluster: Cluster) -> str:
    from tracer.node.collect import node_of

    return node_of(cluster, state)


def _remedy(explanation: Explanation) -> list[str]:
    """What the catalogue says of the cause."""
    from tracer.diagnosis.causes import CAUSES_BY_ID

    cause = CAUSES_BY_ID.get(explanation.path.cause)
    if cause is None:
        return []
    packet = explanation.packet
    service = explanation.names.service_at(packet.dst, packet.dport)
    words = {"namespace": service.namespace, "name": service.name} if service else {}
    try:
        steps = cause.steps(**words)
    except KeyError:  # its steps name what only a trace can tell
        steps = ()
    return ["", harmless(cause.title), harmless(cause.summary), *numbered(steps)]


def _unparsed(state: NodeState, cluster: Cluster) -> list[str]:
    places = (*state.unparsed, *cluster.unparsed)
    return [f"not understood: {harmless(place)}" for place in places]
