"""Parquet: a table of translations, and one of findings beside it.

The columns are those of the JSON lines; times are timestamps with nanoseconds, addresses
text, endpoints structs. pyarrow is an optional dependency.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tracer.cells import Flows, Gathered, Naming, translated
from tracer.columns import JSON_COLUMNS
from tracer.diagnosis.finding import Finding
from tracer.errors import InputError, UnableError
from tracer.filters import Filter
from tracer.flow import Rows
from tracer.naming import naming_of
from tracer.pipeline import Pipeline, Update
from tracer.sinks.due import Table
from tracer.sinks.jsonl import finding_json

_ROWS_AT_ONCE = 65_536
_TIMES = {"first": "first_ns", "last": "last_ns"}


class ParquetFiles:
    """Writes each flow once, when it has ended or at the end; ``FILE-findings`` at the end."""

    def __init__(self, path: Path, all_flows: bool = False, chosen: Filter | None = None) -> None:
        self._arrow, self._parquet = _pyarrow()
        self._all_flows, self._chosen = all_flows, chosen
        self._schema = _flow_schema(self._arrow)
        self._findings_path = path.with_name(f"{path.stem}-findings{path.suffix}")
        self._writer = self._opened(path, self._schema)
        self._written: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        """By row: id of the flow that is in the file."""

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Write the flows that have just ended."""
        flows = pipeline.table.flows
        ended = update.changed[flows["ended_ns"][update.changed] != 0]
        if ended.size:
            self._put(flows, ended, naming_of(pipeline))

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Write the flows that are left, and the findings."""
        self._put(pipeline.table.flows, pipeline.table.alive(), naming_of(pipeline))
        self._writer.close()
        schema = _finding_schema(self._arrow)
        found = pipeline.findings.open() + pipeline.findings.closed()
        with self._opened(self._findings_path, schema) as writer:
            rows = list(map(_finding_row, found))
            writer.write_table(self._arrow.Table.from_pylist(rows, schema=schema))

    def _opened(self, path: Path, schema: Any) -> Any:
        try:
            return self._parquet.ParquetWriter(path, schema, compression="zstd")
        except OSError as error:
            raise InputError(
                f"Cannot write {path}.",
                error.strerror or str(error),
                "Name a file in a folder that exists and can be written to.",
            ) from error

    def _put(self, flows: Table, rows: Rows, naming: Naming) -> None:
        rows = self._wanted(flows, rows, naming)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            part = Gathered(flows, rows[first : first + _ROWS_AT_ONCE])
            columns = [self._column(column.name, part, naming) for column in JSON_COLUMNS]
            self._writer.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))

    def _wanted(self, flows: Table, rows: Rows, naming: Naming) -> Rows:
        """Rows asked for that are not in the file yet."""
        if len(flows) > len(self._written):
            self._written = np.concatenate(
                (self._written, np.zeros(len(flows) - len(self._written), dtype=np.uint64))
            )
        rows = rows[self._written[rows] != flows["id"][rows]]
        self._written[rows] = flows["id"][rows]
        if not self._all_flows:
            rows = rows[translated(Gathered(flows, rows))]
        if self._chosen is not None and rows.size:
            rows = rows[self._chosen.mask(Gathered(flows, rows), naming, {})]
        return rows

    def _column(self, name: str, flows: Flows, naming: Naming) -> Any:
        kind = self._schema.field(name).type
        if name in _TIMES:
            return self._arrow.array(flows[_TIMES[name]]).cast(kind)
        column = next(column for column in JSON_COLUMNS if column.name == name)
        values: Sequence[object] = column.json(flows, naming) if column.json else ()
        return self._arrow.array(msgspec.to_builtins(list(values)), type=kind)


def _pyarrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet module, here only: a tenth of a second and 150 MB."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UnableError(
            "Parquet needs pyarrow.",
            "It is not installed: viptrace does without it otherwise.",
            "Type: pip install pyarrow (pipx inject viptrace pyarrow), or export to .ndjson.",
        ) from error
    return pyarrow, pyarrow.parquet


def _flow_schema(arrow: Any) -> Any:
    text, number = arrow.string(), arrow.uint64()
    endpoint = [("ip", text), ("port", arrow.uint16())]
    named = arrow.struct([*endpoint, ("name", text)])
    parts = ("namespace", "name", "port", "kind")
    known = {
        **dict.fromkeys(("first", "last"), arrow.timestamp("ns", tz="UTC")),
        **dict.fromkeys(("client", "backend"), named),
        **dict.fromkeys(("virtual", "source_nat"), arrow.struct(endpoint)),
        **dict.fromkeys(("packets", "bytes"), arrow.list_(number)),
        **dict.fromkeys(("id", "upstream", "downstream", "netns", "retransmits"), number),
        "service": arrow.struct([(part, text) for part in parts]),
        "origin": arrow.list_(text),
        "tunnel": arrow.struct(
            [
                *(("kind", text), ("id", arrow.uint32())),
                ("between", arrow.list_(arrow.struct([("ip", text), ("name", text)]))),
            ]
        ),
    }
    return arrow.schema([(column.name, known.get(column.name, text)) for column in JSON_COLUMNS])


def _finding_schema(arrow: Any) -> Any:
    text, time = arrow.string(), arrow.timestamp("ns", tz="UTC")
    end = arrow.struct([("ip", text), ("port", arrow.uint16())])
    flow = arrow.struct([("protocol", text), ("src", end), ("dst", end)])
    subject = [("flow", flow), ("service", text), ("address", text), ("node", text)]
    fact = arrow.struct([("kind", text), ("text", text)])
    return arrow.schema(
        [
            *(("cause", text), ("severity", text), ("confidence", arrow.float64())),
            *(("since", time), ("last", time), ("status", text), ("count", arrow.uint64())),
            *(("subject", arrow.struct(subject)), ("summary", text)),
            *(("evidence", arrow.list_(fact)), ("remedy", arrow.list_(text))),
            ("consequence_of", text),
        ]
    )


def _finding_row(finding: Finding) -> dict[str, object]:
    times = {"since": finding.since_ns, "last": finding.last_ns or None}
    return finding_json(finding) | times
