"""``viptrace audit``: faults and dangers in the state itself, without traffic."""

from __future__ import annotations

from pathlib import Path

import click

from tracer.commands.output import SEVERITIES


@click.command(short_help="Faults and dangers in the state itself, without traffic.")
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
    help="The cluster's objects; else those in the state directory, or kubectl's.",
)
@click.option("--node", default="", metavar="NAME", help="Name of this node in the cluster.")
@click.option("--json", "json_lines", is_flag=True, help="JSON lines: findings, then a summary.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help="Exit with 1 if a finding is that grave or graver.",
)
@click.option("--guard", is_flag=True, help="Only print a policy that guards Services' addresses.")
def audit(
    state: Path | None,
    cluster: Path | None,
    node: str,
    json_lines: bool,
    fail_on: str | None,
    guard: bool,
) -> int:
    """Judge this node's rules, sets, addresses and settings, and the cluster's Services.

    Finds Services and endpoints that are not programmed, or programmed and gone; rules of
    another mode or tool; Services that claim addresses of others; settings that will hurt; and
    counts what it read. Live, rules that differ from the cluster are looked at twice.
    """
    if guard:
        from tracer.diagnosis.guard import POLICY  # only the rules' package wants NumPy

        click.echo(POLICY, nl=False)
        return 0
    # The rules bring NumPy with them: help and mistakes must not wait for it.
    from tracer.commands.audit_run import Question, run

    return run(Question(state, cluster, node), json_lines=json_lines, fail_on=fail_on or "")
