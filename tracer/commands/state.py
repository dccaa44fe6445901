"""``viptrace state``: this node and its cluster as plain files."""

from __future__ import annotations

from pathlib import Path

import click

from tracer.plain import harmless


@click.command(short_help="Collect this node's state as plain files.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to; made if it is not there.",
)
@click.option(
    "--cluster",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The cluster's objects as YAML or JSON; without it kubectl or the API server is asked.",
)
@click.option("--no-cluster", is_flag=True, help="Leave the cluster's objects out.")
@click.option(
    "--no-health-checks",
    is_flag=True,
    help="Do not ask this node's health check node ports what load balancers are told.",
)
def state(output: Path, cluster: Path | None, no_cluster: bool, no_health_checks: bool) -> int:
    """Write rules, sets, virtual servers, addresses, routes, sysctls, connections and what load
    balancers are told into DIR.

    explain and replay read it with --state DIR. What cannot be collected is said, the rest is
    written. The files hold addresses of whoever talks to this node; secrets are not in them.
    """
    # NumPy hangs on the connection tables: help must not wait for it.
    from tracer.commands.api_objects import write_from_api
    from tracer.node.collect import Collector
    from tracer.node.health_file import write_health
    from tracer.node.state_files import write_cluster, write_state

    notes = write_state(output)
    if not no_cluster and (why := write_cluster(output, cluster)):
        notes += [why, *write_from_api(output)] if cluster is None else [why]
    if not no_cluster and not no_health_checks:
        notes += filter(None, [write_health(output, Collector().own_addresses)])
    for note in notes:
        click.echo(f"not collected: {harmless(note)}", err=True)
    names = sorted(entry.name for entry in output.iterdir())
    click.echo(f"{output}: {', '.join(names)}")
    return 0
