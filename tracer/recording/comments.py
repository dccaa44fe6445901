"""What Wireshark shows beside packets: translations and findings, in words.

Decoration: whoever replays a recording judges anew.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer import cells
from tracer.cells import Flows, Naming
from tracer.diagnosis.finding import Finding, FlowSubject
from tracer.events import Records
from tracer.plain import harmless

_CLIENT, _VIRTUAL = cells.endpoint_text("client"), cells.endpoint_text("virtual")
_BACKEND = cells.only(cells.endpoint_text("backend"), cells.redirected)
_SOURCE = cells.only(cells.endpoint_text("source"), cells.source_changed)
_CLIENT_NAME, _BACKEND_NAME = cells.name_in("client_name"), cells.name_in("backend_name")
_ENGINE = cells.named_number("engine", cells.engine_name)
_COLUMNS: tuple[cells.Texts, ...] = (
    *(_CLIENT, _CLIENT_NAME, _VIRTUAL, cells.services, cells.kinds),
    *(_BACKEND, _BACKEND_NAME, _SOURCE, _ENGINE),
)
_MIRROR = {"src": "dst", "dst": "src"}


def translations(flows: Flows, naming: Naming) -> list[str]:
    """``client → VIP (Service) → backend (pod), SNAT source``, one for each flow."""
    return list(map(_translation, *(column(flows, naming) for column in _COLUMNS)))


def _translation(
    client: str,
    client_name: str,
    virtual: str,
    service: str,
    kind: str,
    backend: str,
    backend_name: str,
    source: str,
    engine: str,
) -> str:
    asked = f"{service} {kind}".strip()
    text = f"{_named(client, client_name)} → {_named(virtual, asked)}"
    if backend:
        text += f" → {_named(backend, backend_name)}"
    if source:
        text += f", SNAT {source}"
    return f"{text}, by {engine}" if engine != "unknown" else text


def _named(endpoint: str, name: str) -> str:
    return f"{endpoint} ({name})" if name else endpoint


def finding_text(finding: Finding) -> str:
    """Severity, cause and summary on one line."""
    return harmless(f"{finding.severity.label.upper()} {finding.cause}: {finding.summary}")


def packet_of(flow: FlowSubject, records: Records) -> int | None:
    """Row of the latest packet of a flow, in either direction as the client sees it."""
    found = np.zeros(len(records), dtype=np.bool_)
    for side in ("src", "dst"):
        found |= _runs(flow, records, side, _MIRROR[side])
    rows = np.flatnonzero(found & (records["protocol"] == flow.protocol))
    return int(rows[-1]) if rows.size else None


def _runs(flow: FlowSubject, records: Records, here: str, there: str) -> npt.NDArray[np.bool_]:
    same = (records[f"{here}_port"] == flow.src_port) & (records[f"{there}_port"] == flow.dst_port)
    for side, ip in ((here, flow.src), (there, flow.dst)):
        same &= (records[side] == np.frombuffer(ip, dtype="<u8")).all(axis=1)
    return np.asarray(same)
