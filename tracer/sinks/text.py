"""Readable lines: one per translation, a block per finding, a summary at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

from tracer.cells import Flows, Naming
from tracer.clock import rfc3339
from tracer.columns import LINE_COLUMNS
from tracer.diagnosis.finding import Finding, Severity
from tracer.filters import Filter
from tracer.flow import Rows, State
from tracer.naming import naming_of
from tracer.pipeline import Pipeline, Update
from tracer.plain import harmless, numbered
from tracer.sinks.due import DueFindings, DueFlows, Table

_SEVERITY_STYLE = {Severity.CRITICAL: "1;31", Severity.WARNING: "33", Severity.INFO: "36"}
_REMEDIES_KNOWN = 100
"""Remedies remembered so that they are not printed again and again."""
_BAD = (State.REFUSED, State.LOST)


class TextLines:
    """Writes for people and for ``grep``; colours only where the caller allows them."""

    def __init__(
        self,
        file: IO[str],
        colour: bool = False,
        all_flows: bool = False,
        updates: bool = False,
        chosen: Filter | None = None,
        summary: bool = False,
    ) -> None:
        """``summary``: findings and totals, but no flows."""
        self._file = file
        self._colour = colour
        self._flows = DueFlows(all_flows, updates, chosen, none=summary)
        self._findings = DueFindings()
        self._titled = False
        self._told: dict[tuple[str, ...], None] = {}
        """Remedies printed already, the latest last."""

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Lines that this update makes due."""
        flows, naming = pipeline.table.flows, naming_of(pipeline)
        rows = self._flows.take(flows, update.changed, naming)
        self._write_flows(flows, rows, naming)
        news = (*update.opened, *update.updated, *update.closed)
        self._write_findings(self._findings.take(news, pipeline.now_ns))
        self._file.flush()

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Lines still owed, then the summary."""
        flows, naming = pipeline.table.flows, naming_of(pipeline)
        rows = self._flows.rest(flows, pipeline.table.alive(), naming)
        self._write_flows(flows, rows, naming)
        self._write_findings(self._findings.rest())
        self._file.write("\n" + "\n".join(summary_lines(summary)) + "\n")
        self._file.flush()

    def _write_flows(self, flows: Table, rows: Rows, naming: Naming) -> None:
        if not rows.size:
            return
        if not self._titled:
            self._titled = True
            self._file.write(self._styled(_title(), "2") + "\n")
        chosen = flows[rows]
        lines = flow_lines(chosen, naming)
        for line, state in zip(lines, chosen["state"].tolist(), strict=True):
            self._file.write((self._styled(line, "31") if state in _BAD else line) + "\n")

    def _write_findings(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            head, *rest = finding_lines(finding, told=finding.remedy in self._told)
            self._told[finding.remedy] = None
            self._told = dict(list(self._told.items())[-_REMEDIES_KNOWN:])
            style = _SEVERITY_STYLE[finding.severity] if finding.open else "32"
            self._file.write("\n".join(["", self._styled(head, style), *rest, ""]))

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def flow_lines(flows: Flows, naming: Naming) -> list[str]:
    """One aligned line for each flow."""
    columns = [
        [text.rjust(column.width) if column.right else text.ljust(column.width) for text in texts]
        for column in LINE_COLUMNS
        if column.text
        for texts in (column.text(flows, naming),)
    ]
    return ["  ".join(parts).rstrip() for parts in zip(*columns, strict=True)]


def finding_lines(finding: Finding, told: bool = False) -> list[str]:
    """Severity, cause and summary, then evidence, then numbered steps unless ``told`` already."""
    status = finding.severity.label.upper() if finding.open else "CLOSED"
    seen = f" ({finding.count}×)" if finding.count > 1 else ""
    since = f"since {rfc3339(finding.since_ns)[:19]}Z, confidence {finding.confidence:.0%}"
    head = f"{status} {finding.cause}: {finding.summary}{seen}"
    facts = [f"  {fact.kind + ':':<11}{fact.text}" for fact in finding.evidence]
    steps = [f"  {line}" for line in numbered(finding.remedy)]
    remedy = ["  What to do: the steps above."] if told else ["  What to do:", *steps]
    remedy = remedy if finding.remedy and finding.open else []
    root = [f"  A consequence of {finding.consequence_of}."] if finding.consequence_of else []
    return [harmless(line) for line in [head, f"  {since}", *root, *facts, *remedy]]


def summary_lines(summary: dict[str, object]) -> list[str]:
    """The summary's figures in a few sentences."""
    found = summary.get("findings")
    counts = found if isinstance(found, dict) else {}
    causes = ", ".join(f"{cause} {count}" for cause, count in counts.items()) or "none"
    lost = summary.get("lost")
    losses = lost if isinstance(lost, dict) else {}
    where = ", ".join(f"{count} in {part}" for part, count in losses.items() if count) or "nothing"
    missing, lag = summary.get("degraded"), summary.get("lag")
    return [
        f"{summary.get('translations', 0)} translations from {summary.get('events', 0)} events"
        f" and {summary.get('packets', 0)} packets in {summary.get('duration_s', 0)} s"
        f" (backend {summary.get('backend') or 'none'})",
        harmless(f"Findings: {causes}"),
        f"Lost: {where}; damaged: {summary.get('damaged', 0)};"
        f" unparsed: {summary.get('unparsed', 0)}",
        *[harmless(_lag_line(one)) for one in (lag if isinstance(lag, list) else [])],
        *[harmless(f"Degraded: {one}") for one in (missing if isinstance(missing, list) else [])],
    ]


def _lag_line(lag: dict[str, Any]) -> str:
    """One Service's lag behind the API server."""
    joined, left = lag["joined"], lag["left"]
    told = []
    if joined["count"]:
        when = f", the slowest after {joined['max_s']} s" if joined["used"] else ""
        told.append(f"{joined['used']} of {joined['count']} new endpoints used{when}")
    if left["count"]:
        when = f", the longest for {left['max_s']} s" if left["late"] else ""
        told.append(f"{left['late']} of {left['count']} departed ones still used{when}")
    if "ipvs" in lag:
        told += _ipvs_lags(lag["ipvs"])
    return f"Lag of {lag['service']}: {'; '.join(told)}"


def _ipvs_lags(lag: dict[str, Any]) -> Iterator[str]:
    for turn, what in (("joined", "took up"), ("left", "let go of")):
        one = lag[turn]
        if one["count"]:
            when = f", the slowest after {one['max_s']} s" if one["seen"] else ""
            yield f"IPVS {what} {one['seen']} of {one['count']}{when}"


def _title() -> str:
    titles = [column.title.ljust(column.width) for column in LINE_COLUMNS]
    return "  ".join(titles).rstrip()
