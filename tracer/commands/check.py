"""``viptrace check``: what works on this node, and why the rest does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracer.plain import harmless

if TYPE_CHECKING:
    from tracer.commands.fact import Fact

_MARKS = {"yes": "ok", "partly": "!!", "no": "--"}
_UNABLE = 3


@click.command(short_help="What works on this node, and why the rest does not.")
@click.option("--json", "json_lines", is_flag=True, help="One JSON object a line.")
def check(json_lines: bool) -> int:
    """Look at the kernel, its types and probes, IPVS, conntrack, privileges, names and clocks.

    Exit code 3 if live tracing cannot work here at all.
    """
    # The table of probes and an HTTP client hang on this: help must not wait for them.
    from tracer.commands.facts import facts

    found = facts(Path("/"))
    for fact in found:
        if json_lines:
            click.echo(json.dumps({"type": "check"} | asdict(fact), ensure_ascii=False))
        else:
            click.echo("\n".join(_lines(fact)))
    return _UNABLE if _cannot_trace(found) else 0


def _lines(fact: Fact) -> list[str]:
    """One line, and two more where something is missing."""
    lines = [f"{_MARKS[fact.works]}  {fact.name:<14}{fact.found}"]
    if fact.degrades:
        lines.append(f"    without it:   {fact.degrades}")
    if fact.remedy:
        lines.append(f"    what to do:   {fact.remedy}")
    return [harmless(line) for line in lines]


def _cannot_trace(found: list[Fact]) -> bool:
    """Neither probes nor conntrack's events: both need privileges."""
    return any(fact.name == "privileges" and fact.works == "no" for fact in found)
