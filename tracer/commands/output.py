"""Options that every tracing command shares: what is printed, and when that is a failure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import click

from tracer.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

SEVERITIES = ("info", "warning", "critical")
PRINTING = frozenset(("json_lines", "text", "updates", "all_flows", "summary", "fail_on"))
"""Names of the shared options."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where to and how much."""

    form: str
    """``screen``, ``text``, ``json``, or ``none``: nothing is printed."""
    filter: str = ""
    updates: bool = False
    all_flows: bool = False
    summary: bool = False
    """No line for any flow."""
    fail_on: str = ""
    """Severity from which a finding makes the exit code 1; empty for none."""


def output_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the shared options to a command."""
    for option in reversed(
        (
            click.option("--json", "json_lines", is_flag=True, help="JSON lines on stdout."),
            click.option("--text", is_flag=True, help="Text lines, even on a terminal."),
            click.option("--updates", is_flag=True, help="A line for every change of a flow."),
            click.option("--all-flows", is_flag=True, help="Also flows that are not translated."),
            click.option("--summary", is_flag=True, help="Findings and totals only, no flows."),
            click.option(
                "--fail-on",
                type=click.Choice(SEVERITIES),
                help="Exit with 1 if a finding is that grave or graver.",
            ),
        )
    ):
        command = option(command)
    return command


def chosen_output(
    json_lines: bool,
    text: bool,
    updates: bool,
    all_flows: bool,
    summary: bool,
    fail_on: str | None,
    chosen: str,
) -> Output:
    """The screen on a terminal, else text, unless told otherwise."""
    if json_lines and text:
        raise InputError("--json and --text exclude each other.", "", "Leave one of them out.")
    if summary and (updates or all_flows):
        other = "--updates" if updates else "--all-flows"
        raise InputError(f"--summary and {other} exclude each other.", "", "Leave one of them out.")
    on_terminal = sys.stdout.isatty() and sys.stdin.isatty() and not (updates or summary)
    form = "json" if json_lines else "text" if text or not on_terminal else "screen"
    return Output(form, chosen, updates, all_flows, summary, fail_on or "")
