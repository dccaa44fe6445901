"""``viptrace explain-cause``: what a finding's cause means, how it is seen, how it is mended."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tracer.errors import InputError

if TYPE_CHECKING:
    from tracer.diagnosis.explanation import Explanation

_WIDTH = 100


def _matching(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    from tracer.diagnosis.causes import CAUSES_BY_ID  # help must not wait for the rules

    return [
        CompletionItem(name, help=cause.title)
        for name, cause in CAUSES_BY_ID.items()
        if name.startswith(begun)
    ]


@click.command("explain-cause", short_help="What a cause means, how it is seen, how it is mended.")
@click.argument("identifier", metavar="[ID]", required=False, shell_complete=_matching)
@click.option("--json", "json_lines", is_flag=True, help="One JSON object a line.")
def explain_cause(identifier: str | None, json_lines: bool) -> None:
    """Explain one cause; without an ID, list them all."""
    # The rules bring NumPy with them: help must not wait for it.
    from tracer.diagnosis.causes import CAUSES_BY_ID
    from tracer.diagnosis.explanation import explain

    if identifier is not None and identifier not in CAUSES_BY_ID:
        close = get_close_matches(identifier, CAUSES_BY_ID, 3)
        remedy = (
            f"Did you mean {', '.join(close)}?" if close else "List them: viptrace explain-cause"
        )
        raise InputError(f"{identifier}: no such cause", "", remedy)
    for name in [identifier] if identifier else CAUSES_BY_ID:
        explanation = explain(name)
        if json_lines:
            click.echo(json.dumps(as_json(explanation), ensure_ascii=False))
        elif identifier:
            click.echo("\n".join(_lines(explanation)))
        else:
            click.echo(f"{name:<34}{explanation.cause.title}")


def as_json(explanation: Explanation) -> dict[str, object]:
    """The same as one object, names as in findings."""
    cause = explanation.cause
    return {
        "type": "cause",
        "cause": cause.id,
        "title": cause.title,
        "severity": cause.severity.label,
        "modes": list(cause.modes),
        "symptom": cause.symptom,
        "mechanism": cause.summary,
        "claims": explanation.claims,
        "evidence": explanation.evidence,
        "cannot_know": explanation.limits,
        "seen": {title: text or None for title, text in explanation.sights},
        "reproductions": list(explanation.reproductions),
        "remedy": list(explanation.remedy),
        "sources": list(cause.sources),
    }


def _lines(explanation: Explanation) -> Iterator[str]:
    cause = explanation.cause
    yield f"{cause.id}: {cause.title}"
    yield f"{cause.severity.label}; kube-proxy modes: {', '.join(cause.modes)}"
    for title, text in (
        ("What people notice", cause.symptom),
        ("What happens", cause.summary),
        ("What viptrace claims", explanation.claims),
        ("From which evidence", explanation.evidence),
        ("What it cannot know", explanation.limits),
    ):
        yield from ("", title, *_wrapped(text))
    yield from ("", "Where it shows")
    for title, text in explanation.sights:
        yield from _wrapped(f"{title}: {text or 'not visible'}")
    if explanation.reproductions:
        yield from ("", "How to make it happen, with the source tree")
        yield from (f"  {made}" for made in explanation.reproductions)
    yield from ("", "What to do")
    for number, step in enumerate(explanation.remedy, start=1):
        yield f"  {number}. {step}"
    if cause.sources:
        yield from ("", "Sources", *(f"  {source}" for source in cause.sources))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")
