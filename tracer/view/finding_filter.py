"""Findings that a filter of flows lets through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows, Naming, flows_by_cause
from tracer.cluster.model import ServiceKind
from tracer.diagnosis.finding import Finding
from tracer.filters import Filter
from tracer.flow import FLOW

_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """The Service that a finding is about, of which no address is told."""

    namespace: str
    name: str
    port_name: str = ""
    kind: ServiceKind = ServiceKind.CLUSTER_IP


def passing(
    findings: Sequence[Finding], chosen: Filter, flows: Flows, naming: Naming
) -> list[Finding]:
    """Those that explain a flow that passes; one that explains none goes by its subject."""
    marks = flows["explained"]
    mask = chosen.mask(flows, naming, flows_by_cause(flows, naming)) & (marks != 0)
    explaining, passed = _keys(marks, naming), _keys(marks[mask], naming)
    alone = _by_subject(findings, chosen, naming)
    return [
        finding
        for finding, is_alone in zip(findings, alone.tolist(), strict=True)
        if (_key(finding) in passed if _key(finding) in explaining else is_alone)
    ]


def _key(finding: Finding) -> _Key:
    return finding.cause, finding.subject.key


def _keys(marks: npt.NDArray[np.uint32], naming: Naming) -> set[_Key]:
    found = (naming.finding(int(number)) for number in np.unique(marks) if number)
    return {_key(finding) for finding in found if finding is not None}


def _by_subject(
    findings: Sequence[Finding], chosen: Filter, naming: Naming
) -> npt.NDArray[np.bool_]:
    """Each finding as the flow that its subject tells of: tens of them."""
    rows = np.zeros(len(findings), dtype=FLOW)
    services: list[_Named | None] = [None]
    names = [""]
    for row, finding in enumerate(findings):
        _fill(rows[row : row + 1], finding)
        rows["id"][row] = row + 1
        namespace, _, name = (finding.subject.service or "").partition("/")
        services.append(_Named(namespace, name) if name else None)
        names.append(finding.subject.node or "")
        rows["service"][row] = rows["client_name"][row] = row + 1
    known = replace(naming, hit=lambda number: services[number], name=lambda number: names[number])
    causes: dict[str, list[int]] = {}
    for row, finding in enumerate(findings):
        causes.setdefault(finding.cause, []).append(row + 1)
    ids = {cause: np.array(of, dtype=np.uint64) for cause, of in causes.items()}
    return chosen.mask(rows, known, ids)


def _fill(row: npt.NDArray[np.void], finding: Finding) -> None:
    """Addresses and ports as far as the subject has them."""
    flow = finding.subject.flow
    target = finding.subject.address or (flow.dst if flow else None)
    source = flow.src if flow else None
    for sides, ip in ((("client", "source"), source), (("virtual", "backend"), target)):
        if ip:
            for side in sides:
                row[side][0] = np.frombuffer(ip, dtype="<u8")
    if flow:
        row["protocol"] = flow.protocol
        row["client_port"] = row["source_port"] = flow.src_port
        row["virtual_port"] = row["backend_port"] = flow.dst_port
