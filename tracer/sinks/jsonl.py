"""JSON lines: translations, findings and one summary, as the contract names them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import IO

import msgspec

from tracer import address
from tracer.cells import Flows, Gathered, Naming
from tracer.clock import rfc3339
from tracer.columns import JSON_COLUMNS
from tracer.diagnosis.finding import Finding, FlowSubject, Subject
from tracer.events import PROTOCOL_NAMES
from tracer.filters import Filter
from tracer.flow import Rows
from tracer.naming import naming_of
from tracer.pipeline import Pipeline, Update
from tracer.sinks.due import DueFindings, DueFlows, Table

_ENCODER = msgspec.json.Encoder()
_UNSAFE = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_LINES_AT_ONCE = 4096
"""Objects that live at the same time; many more only feed the garbage collector."""
_FIELDS = [(column.name, object) for column in JSON_COLUMNS]
_LINE = msgspec.defstruct(
    "TranslationLine", _FIELDS, tag_field="type", tag="translation", gc=False, frozen=True
)
_UPDATE_LINE = msgspec.defstruct(
    "TranslationUpdate",
    [*_FIELDS, ("final", bool)],
    tag_field="type",
    tag="translation",
    gc=False,
    frozen=True,
)


class JsonLines:
    """Writes one object a line; the file belongs to the caller."""

    def __init__(
        self,
        file: IO[bytes],
        all_flows: bool = False,
        updates: bool = False,
        chosen: Filter | None = None,
        summary: bool = False,
    ) -> None:
        """``summary``: findings and totals, but no flows."""
        self._file = file
        self._updates = updates
        self._flows = DueFlows(all_flows, updates, chosen, none=summary)
        self._findings = DueFindings()

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Lines that this update makes due, handed to the operating system at once."""
        flows, naming = pipeline.table.flows, naming_of(pipeline)
        rows = self._flows.take(flows, update.changed, naming)
        self._write_flows(flows, rows, naming, final=False)
        news = (*update.opened, *update.updated, *update.closed)
        self._write_findings(self._findings.take(news, pipeline.now_ns))
        self._file.flush()

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Lines still owed, then the summary."""
        flows, naming = pipeline.table.flows, naming_of(pipeline)
        rows = self._flows.rest(flows, pipeline.table.alive(), naming)
        self._write_flows(flows, rows, naming, final=True)
        self._write_findings(self._findings.rest())
        self._file.write(encode_lines([{"type": "summary"} | summary]))
        self._file.flush()

    def _write_flows(self, flows: Table, rows: Rows, naming: Naming, final: bool) -> None:
        for begin in range(0, len(rows), _LINES_AT_ONCE):
            part = Gathered(flows, rows[begin : begin + _LINES_AT_ONCE])
            self._file.write(encode_lines(self._lines(part, naming, final)))

    def _lines(self, flows: Flows, naming: Naming, final: bool) -> list[msgspec.Struct]:
        values = [column.json(flows, naming) for column in JSON_COLUMNS if column.json]
        if not self._updates:
            return list(map(_LINE, *values))
        finals = [True] * len(flows) if final else (flows["ended_ns"] != 0).tolist()
        return list(map(_UPDATE_LINE, *values, finals))

    def _write_findings(self, findings: list[Finding]) -> None:
        if findings:
            self._file.write(encode_lines(list(map(finding_json, findings))))


def encode_lines(objects: Sequence[object]) -> bytes:
    """One line an object, whatever the reader takes for a line end and whatever names hold.

    JSON leaves C1 controls, line separators and bidirectional marks as they are; here
    they are escaped. Lone surrogates, which UTF-8 cannot hold, are escaped too.
    """
    try:
        encoded = _ENCODER.encode_lines(objects)
    except UnicodeEncodeError:
        plain = (msgspec.to_builtins(value) for value in objects)
        return "".join(f"{json.dumps(value)}\n" for value in plain).encode()
    if encoded.isascii():
        return encoded
    return _UNSAFE.sub(_escaped, encoded.decode()).encode()


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def finding_json(finding: Finding) -> dict[str, object]:
    """One finding as the contract's object."""
    return {
        "type": "finding",
        "cause": finding.cause,
        "severity": finding.severity.label,
        "confidence": round(finding.confidence, 3),
        "since": rfc3339(finding.since_ns),
        "subject": _subject(finding.subject),
        "summary": finding.summary,
        "evidence": [{"kind": fact.kind, "text": fact.text} for fact in finding.evidence],
        "remedy": list(finding.remedy),
        "status": "open" if finding.open else "closed",
        "count": finding.count,
        "last": rfc3339(finding.last_ns) if finding.last_ns else None,
        "consequence_of": finding.consequence_of or None,
    }


def _subject(subject: Subject) -> dict[str, object]:
    return {
        "flow": _flow(subject.flow) if subject.flow else None,
        "service": subject.service,
        "address": address.text(subject.address) if subject.address else None,
        "node": subject.node,
    }


def _flow(flow: FlowSubject) -> dict[str, object]:
    return {
        "protocol": PROTOCOL_NAMES.get(flow.protocol, str(flow.protocol)),
        "src": {"ip": address.text(flow.src), "port": flow.src_port},
        "dst": {"ip": address.text(flow.dst), "port": flow.dst_port},
    }
