"""The incident report as one HTML file: no scripts, nothing loaded, every text escaped."""

from __future__ import annotations

from html import escape

from tracer.clock import rfc3339
from tracer.diagnosis.finding import Finding
from tracer.plain import harmless, numbered, shortened
from tracer.sinks.report import LostFlow, Report, Station
from tracer.sinks.text import summary_lines

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}
body{color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem;border-bottom:1px solid #d0d7de}
h3{font-size:1rem;margin-bottom:.2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d0d7de;vertical-align:top}
td.n{text-align:right}pre{background:#f6f8fa;padding:.6rem;overflow-x:auto;white-space:pre-wrap}
.finding{border-left:4px solid #8c959f;padding-left:.8rem;margin:1rem 0}
.critical{border-color:#cf222e}.warning{border-color:#bf8700}.info{border-color:#0969da}
.closed{border-color:#1a7f37}.meta{color:#57606a}svg{max-width:100%;height:auto}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}pre{background:#161b22}
.meta{color:#8b949e}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WIDTH, _GAP, _HEIGHT = 210, 40, 92
_BOX_CHARACTERS = 28


def html(report: Report) -> str:
    """The whole file."""
    parts = [
        f"<h1>Incident report: {_text(report.title)}</h1>",
        f"<p class=meta>{rfc3339(report.began_ns)[:19]}Z to {rfc3339(report.ended_ns)[:19]}Z</p>",
        "<h2>Summary</h2>",
        _list(summary_lines(report.summary)),
        "<h2>Findings</h2>",
        *([_finding(finding) for finding in report.findings] or ["<p>None.</p>"]),
        "<h2>Timeline</h2>",
        _timeline(report),
        "<h2>Translations by Service</h2>",
        _services(report),
        f"<h2>Lost flows ({report.lost_total})</h2>",
        *([_lost(flow) for flow in report.lost] or ["<p>None.</p>"]),
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_text(report.title)}</title><style>{_STYLE}</style></head><body>"
    )
    return head + "\n".join(parts) + "</body></html>\n"


def _text(text: str) -> str:
    return escape(harmless(text))


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>" if lines else ""


def _finding(finding: Finding) -> str:
    status = finding.severity.label if finding.open else "closed"
    seen = f", {finding.count} times" if finding.count > 1 else ""
    since = f"since {rfc3339(finding.since_ns)[:19]}Z, confidence {finding.confidence:.0%}{seen}"
    facts = _list([f"{fact.kind}: {fact.text}" for fact in finding.evidence])
    steps = "\n".join(map(escape, numbered(finding.remedy)))
    remedy = f"<p>What to do:</p><pre>{steps}</pre>" if steps and finding.open else ""
    return (
        f'<div class="finding {status}"><h3>{status.upper()} {_text(finding.cause)}</h3>'
        f"<p>{_text(finding.summary)}</p><p class=meta>{since}</p>{facts}{remedy}</div>"
    )


def _timeline(report: Report) -> str:
    rows = "".join(
        f"<tr><td class=meta>{rfc3339(moment.time_ns)[:23]}Z</td><td>{_text(moment.what)}</td></tr>"
        for moment in report.timeline
    )
    more = f"<p>… and {report.left_out} more</p>" if report.left_out else ""
    return f"<table>{rows}</table>{more}" if rows else "<p>Nothing opened or closed.</p>"


def _services(report: Report) -> str:
    if not report.services:
        return "<p>None.</p>"
    rows = "".join(
        f"<tr><td>{_text(line.service)}</td><td class=n>{line.flows}</td><td class=n>{line.bad}"
        f"</td><td>{_text(', '.join(f'{n} ({count})' for n, count in line.backends))}</td></tr>"
        for line in report.services
    )
    titles = "<tr><th>Service<th>Flows<th>Lost or refused<th>Backends</tr>"
    return f"<table>{titles}{rows}</table>"


def _lost(flow: LostFlow) -> str:
    cause = f", {flow.cause}" if flow.cause else ""
    packets = "\n".join(map(_text, flow.packets))
    excerpt = f"<pre>{packets}</pre>" if packets else ""
    return f"<h3>{_text(flow.title)} ({_text(flow.state + cause)})</h3>{_picture(flow)}{excerpt}"


def _picture(flow: LostFlow) -> str:
    """The path from left to right, with a cross where it ended."""
    count = len(flow.stations)
    width = count * (_WIDTH + _GAP)
    shapes = "".join(_box(number, station) for number, station in enumerate(flow.stations))
    arrows = "".join(_arrow(n) for n in range(count - 1) if n != flow.broken_after)
    return (
        f'<svg viewBox="0 0 {width} {_HEIGHT + 28}" width="{width}" role="img" '
        f'aria-label="{_text(flow.title)}: {_text(flow.why)}" font-family="monospace" '
        f'font-size="12" fill="currentColor">{shapes}{arrows}{_cross(flow)}</svg>'
    )


def _box(number: int, station: Station) -> str:
    x = number * (_WIDTH + _GAP) + 1
    lines = (station.role, station.endpoint, station.name)
    texts = "".join(
        f'<text x="{x + 8}" y="{22 + 22 * row}">{_text(shortened(line, _BOX_CHARACTERS))}</text>'
        for row, line in enumerate(map(harmless, lines))
    )
    frame = (
        f'<rect x="{x}" y="1" width="{_WIDTH}" height="78" rx="6" fill="none" stroke="#8c959f"/>'
    )
    return frame + texts


def _arrow(number: int) -> str:
    x = (number + 1) * (_WIDTH + _GAP) - _GAP
    head = f"{x + _GAP},40 {x + _GAP - 8},35 {x + _GAP - 8},45"
    line = f'<line x1="{x + 1}" y1="40" x2="{x + _GAP - 6}" y2="40" stroke="#1a7f37"/>'
    return f'{line}<polygon points="{head}" fill="#1a7f37"/>'


def _cross(flow: LostFlow) -> str:
    x = (flow.broken_after + 1) * (_WIDTH + _GAP) - _GAP // 2
    lines = "".join(
        f'<line x1="{x - 9}" y1="{40 - rise}" x2="{x + 9}" y2="{40 + rise}" '
        'stroke="#cf222e" stroke-width="3"/>'
        for rise in (9, -9)
    )
    end = max(0, x - 8 * len(flow.why))
    return f'{lines}<text x="{end}" y="{_HEIGHT + 16}" fill="#cf222e">{_text(flow.why)}</text>'
