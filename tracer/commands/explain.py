"""``viptrace explain``: the path a packet would take through this node, rule by rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracer.plain import harmless, numbered

if TYPE_CHECKING:
    from tracer.path.ask import Explanation


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
    help="A state directory instead of this node, or one of its files; - is standard input.",
)
@click.option(
    "--cluster",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
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
    from tracer.commands.node_input import collected, name_of, read, unparsed
    from tracer.path.ask import explain as walk
    from tracer.path.ask import packet_of
    from tracer.path.report import as_json, as_tree

    packet = packet_of(source, destination)
    found = read(state, cluster) if state else collected(cluster)
    name = node or name_of(found, live=state is None)
    explanation = walk(found.node, found.cluster, packet, sender, name)
    if json_lines:
        click.echo(json.dumps(as_json(explanation), ensure_ascii=False))
    else:
        lines = as_tree(explanation) + _remedy(explanation)
        lines += [f"not understood: {place}" for place in unparsed(found)]
        click.echo("\n".join(lines))
    return 0


def _remedy(explanation: Explanation) -> list[str]:
    """What the catalogue says of the cause."""
    from tracer.address import text
    from tracer.diagnosis.causes import CAUSES_BY_ID
    from tracer.diagnosis.wording import service_word

    cause = CAUSES_BY_ID.get(explanation.path.cause)
    if cause is None:
        return []
    packet = explanation.packet
    service = explanation.names.service_at(packet.dst, packet.dport)
    words = {"address": text(packet.dst), "virtual": text(packet.dst), "client": text(packet.src)}
    if service:
        words["namespace"], words["name"] = service_word(service.key)
    steps = cause.sketched(**words, port=str(packet.dport))
    return ["", harmless(cause.title), harmless(cause.summary), *numbered(steps)]
