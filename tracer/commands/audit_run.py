"""One audit from state to output."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from tracer.clock import rfc3339
from tracer.commands.node_input import Input, collected, name_of, read, unparsed
from tracer.diagnosis.audit import Audit, audit
from tracer.diagnosis.finding import Finding, Severity
from tracer.diagnosis.guard import POLICY, wanted
from tracer.diagnosis.ledger import key_of
from tracer.node.model import NodeState
from tracer.node.sizes import sizes
from tracer.plain import harmless
from tracer.sinks.jsonl import encode_lines, finding_json
from tracer.sinks.text import finding_lines

SETTLE_S = 3.0
"""kube-proxy writes what changed within a second or two: what still differs later is drift."""
_DRIFT = "rules-not-synced"
_SHOWN_UNPARSED = 20


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be judged."""

    state: Path | None
    """A state directory; None for this node."""
    cluster: Path | None
    node: str
    """This node's name as the user gave it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An audit with what it was made from."""

    input: Input
    audit: Audit
    seconds: float

    @property
    def degraded(self) -> list[str]:
        """What was missing, and why."""
        return [*self.input.missing, *self.audit.degraded]

    @property
    def unparsed(self) -> int:
        """Lines and objects that were not understood."""
        return len(self.input.node.unparsed) + len(self.input.cluster.unparsed)


def run(question: Question, *, json_lines: bool, fail_on: str) -> int:
    """Judge, print, and say whether a finding is too grave."""
    started = time.perf_counter()
    judged = _judged(question)
    live = question.state is None
    if live and _drift(judged.audit):
        time.sleep(SETTLE_S)
        judged = _lasting(judged.audit, _judged(question))
    judged = replace(judged, seconds=time.perf_counter() - started)
    if json_lines:
        lines = [*map(finding_json, judged.audit.findings), _summary(judged)]
        sys.stdout.buffer.write(encode_lines(lines))
        sys.stdout.buffer.flush()
    else:
        click.echo("\n".join(_report(judged)))
    gravest = max((finding.severity for finding in judged.audit.findings), default=0)
    return int(bool(fail_on) and gravest >= Severity[fail_on.upper()])


def _judged(question: Question) -> Judged:
    live = question.state is None
    found = (
        read(question.state, question.cluster) if question.state else collected(question.cluster)
    )
    name = question.node or name_of(found, live=live)
    node = replace(found.node, node_name=name) if name else found.node
    return Judged(found._replace(node=node), audit(node, found.cluster, found.existing), 0.0)


def _drift(found: Audit) -> set[object]:
    return {key_of(finding) for finding in found.findings if finding.cause == _DRIFT}


def _lasting(first: Audit, second: Judged) -> Judged:
    """The second look without the differences that the first did not have."""
    seen = _drift(first)
    kept = tuple(
        finding
        for finding in second.audit.findings
        if finding.cause != _DRIFT or key_of(finding) in seen
    )
    return replace(second, audit=replace(second.audit, findings=kept))


def _summary(judged: Judged) -> dict[str, object]:
    """The contract's last line; what an audit has none of is 0."""
    found = judged.audit.findings
    told: dict[str, object] = {
        "type": "summary",
        "packets": 0,
        "events": 0,
        "translations": 0,
        "findings": dict(sorted(Counter(finding.cause for finding in found).items())),
        "lost": {"kernel": 0, "socket": 0, "queue": 0},
        "damaged": judged.input.existing.damaged,
        "unparsed": judged.unparsed,
        "duration_s": round(judged.seconds, 3),
        "backend": None,
        "degraded": judged.degraded,
        "node": judged.input.node.node_name or None,
        "mode": judged.input.node.proxy_mode or None,
        "sizes": dict(sizes(judged.input.node)),
    }
    return told | ({"guard": POLICY} if wanted(found) else {})


def _report(judged: Judged) -> Iterator[str]:
    yield _head(judged)
    told: set[tuple[str, ...]] = set()
    for finding in judged.audit.findings:
        yield from ("", *finding_lines(finding, told=finding.remedy in told))
        told.add(finding.remedy)
    if wanted(judged.audit.findings):
        yield from ("", "A policy against such claims: viptrace audit --guard", "")
        yield from (f"  {line}" for line in POLICY.splitlines())
    yield from ("", *_sizes(judged.input.node))
    notes = unparsed(judged.input)
    yield from (f"Not understood: {place}" for place in notes[:_SHOWN_UNPARSED])
    if len(notes) > _SHOWN_UNPARSED:
        yield f"Not understood: {len(notes) - _SHOWN_UNPARSED} more places"
    yield from (f"Degraded: {harmless(one)}" for one in judged.degraded)
    yield _verdict(judged.audit.findings)


def _head(judged: Judged) -> str:
    node, cluster = judged.input.node, judged.input.cluster
    name = f"node {harmless(node.node_name)}" if node.node_name else "this node"
    mode = f"{node.proxy_mode} mode" if node.proxy_mode else "no kube-proxy seen"
    when = f", state of {rfc3339(node.at_ns)[:19]}Z" if node.at_ns else ""
    return (
        f"Audit of {name} ({mode}), {len(cluster.services)} Services, "
        f"{len(cluster.endpoints)} endpoints{when}"
    )


def _sizes(node: NodeState) -> Iterator[str]:
    listed = list(sizes(node))
    if listed:
        yield "Read:"
    wide = max((len(what) for what, _ in listed), default=0)
    for what, counts in listed:
        told = ", ".join(f"{number} {name}" for name, number in counts.items())
        yield harmless(f"  {what:<{wide}}  {told}")


def _verdict(findings: tuple[Finding, ...]) -> str:
    counts = Counter(finding.severity for finding in findings)
    told = ", ".join(f"{counts[level]} {level.label}" for level in reversed(Severity))
    return f"Findings: {told}" if findings else "Findings: none"
