"""The incident report as Markdown: every text from outside is escaped."""

from __future__ import annotations

import re

from tracer.clock import rfc3339
from tracer.diagnosis.finding import Finding
from tracer.plain import harmless, numbered
from tracer.sinks.report import LostFlow, Report
from tracer.sinks.text import summary_lines

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:@])")


def markdown(report: Report) -> str:
    """The whole file."""
    parts = [
        f"# Incident report: {escaped(report.title)}",
        f"{rfc3339(report.began_ns)[:19]}Z to {rfc3339(report.ended_ns)[:19]}Z",
        "## Summary",
        "\n".join(f"- {escaped(line)}" for line in summary_lines(report.summary)),
        "## Findings",
        *([part for finding in report.findings for part in _finding(finding)] or ["None."]),
        "## Timeline",
        _timeline(report),
        "## Translations by Service",
        _services(report),
        f"## Lost flows ({report.lost_total})",
        *([part for flow in report.lost for part in _lost(flow)] or ["None."]),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text that means itself, whatever it holds."""
    plain = harmless(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)


def _block(lines: list[str]) -> str:
    """Lines as they are; a fence longer than any in them."""
    text = "\n".join(map(harmless, lines))
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _finding(finding: Finding) -> list[str]:
    status = finding.severity.label if finding.open else "closed"
    since = f"since {rfc3339(finding.since_ns)[:19]}Z, confidence {finding.confidence:.0%}"
    seen = f", {finding.count} times" if finding.count > 1 else ""
    parts = [
        f"### {escaped(finding.cause)} ({status})",
        escaped(finding.summary),
        f"{since}{seen}",
        "\n".join(f"- {escaped(fact.kind)}: {escaped(fact.text)}" for fact in finding.evidence),
    ]
    if finding.remedy and finding.open:
        parts += ["What to do:", _block(numbered(finding.remedy))]
    return [part for part in parts if part]


def _timeline(report: Report) -> str:
    lines = [f"- {rfc3339(m.time_ns)[:23]}Z {escaped(m.what)}" for m in report.timeline]
    more = [f"- … and {report.left_out} more"] if report.left_out else []
    return "\n".join(lines + more) or "Nothing opened or closed."


def _services(report: Report) -> str:
    if not report.services:
        return "None."
    lines = ["| Service | Flows | Lost or refused | Backends |", "|---|---:|---:|---|"]
    for line in report.services:
        backends = ", ".join(f"{escaped(name)} ({count})" for name, count in line.backends)
        lines.append(f"| {escaped(line.service)} | {line.flows} | {line.bad} | {backends} |")
    return "\n".join(lines)


def _lost(flow: LostFlow) -> list[str]:
    cause = f", {escaped(flow.cause)}" if flow.cause else ""
    parts = [f"### {escaped(flow.title)} ({escaped(flow.state)}{cause})", _block(picture(flow))]
    return [*parts, _block(list(flow.packets))] if flow.packets else parts


def picture(flow: LostFlow) -> list[str]:
    """The path as text, with a cross where it ended."""
    lines = []
    for number, station in enumerate(flow.stations):
        name = f"  ({station.name})" if station.name else ""
        lines.append(f"[{station.role}] {station.endpoint}{name}")
        if number == flow.broken_after:
            lines.append(f"    X  {flow.why}")
        elif number + 1 < len(flow.stations):
            lines.append("    |")
    return lines
