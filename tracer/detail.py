"""Everything known about one flow, in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from tracer import address, cells
from tracer.cells import Naming
from tracer.clock import rfc3339
from tracer.columns import BY_NAME
from tracer.diagnosis.finding import Finding, FlowSubject
from tracer.flow import Engine, Leg, Seen
from tracer.plain import harmless

_SEEN_TEXTS: tuple[tuple[Seen, str], ...] = (
    (Seen.EXISTING, "it existed when tracing began"),
    (Seen.SYN, "request seen from the client"),
    (Seen.IPVS_NEW, "IPVS made a connection"),
    (Seen.NO_DESTINATION, "IPVS had no usable real server"),
    (Seen.NO_ROUTE, "IPVS found no route to the backend"),
    (Seen.SYN_TRANSLATED, "request seen on its way to the backend"),
    (Seen.LOCAL_IN, "delivered to this machine's own sockets"),
    (Seen.RETRANSMITTED, "request repeated"),
    (Seen.ANSWER_BACKEND, "backend answered"),
    (Seen.ANSWER_CLIENT, "answer seen on its way to the client"),
    (Seen.REPLIED, "conntrack saw a reply"),
    (Seen.RST_BEFORE_ANSWER, "reset instead of an answer"),
    (Seen.RST_BACKEND, "reset by the backend"),
    (Seen.RST_CLIENT, "reset by the client"),
    (Seen.RST_LOCAL, "reset by this node's kernel"),
    (Seen.ICMP_REFUSED, "refused by an ICMP error"),
    (Seen.DROPPED, "a packet was dropped by the kernel"),
    (Seen.CT_FAILED, "conntrack could not insert it"),
    (Seen.FIN, "closed by a FIN"),
    (Seen.ENDED, "the kernel destroyed the mapping"),
)
"""In the order in which they happen."""

_TUPLES = (
    ("client", "virtual", "Request", Leg.CLIENT_OUT),
    ("source", "backend", "…translated", Leg.BACKEND_OUT),
    ("backend", "source", "Answer", Leg.BACKEND_IN),
    ("virtual", "client", "…translated back", Leg.CLIENT_IN),
)


class Way(Enum):
    """What a step of a flow's way is."""

    STATION = "station"
    """Client or backend."""
    OUT = "out"
    """Towards the backend."""
    DECIDED = "decided"
    """The kernel chose or noted the translation."""
    BACK = "back"
    """Towards the client."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a flow's way; texts are harmless."""

    since_ns: int
    """Time since the first one; negative where there is none."""
    what: str
    addresses: str
    """Source and destination as they are from here on; empty where that is not told."""
    way: Way
    function: str = ""
    """Kernel function in which that happens; empty for what only packets show."""
    rules: tuple[str, ...] = ()
    """Chains and rules that do it, as the node has them now; empty where they are not known."""


@dataclass(frozen=True, slots=True)
class Captured:
    """The bytes of one packet, for whoever dissects it."""

    data: bytes
    link_type: int
    """libpcap LINKTYPE number."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing for the detail pane: a flow, a backend, an event; texts are harmless."""

    id: int
    title: str
    facts: tuple[tuple[str, str], ...]
    """(label, text)."""
    findings: tuple[Finding, ...] = ()
    """Findings about it."""
    beside: tuple[Finding, ...] = ()
    """Findings about its Service or its address, which do not explain it."""
    service: str = ""
    """``namespace/name`` of the Service that it is, or stands behind; only used to look it up."""
    path: tuple[Step, ...] = ()
    """The way of a flow."""
    captured: Captured | None = None
    """The packet itself, if it is one."""


def detail_of(
    flow: npt.NDArray[np.void], naming: Naming, findings: tuple[Finding, ...]
) -> Detail | None:
    """Details of the one row in the array; None of an empty one."""
    if not len(flow):
        return None
    cell = _cells(flow, naming)
    service = f" {cell['service']} ({cell['kind']})" if cell["service"] else ""
    return Detail(
        int(flow["id"][0]),
        f"{cell['protocol']} {cell['client']} → {cell['virtual']}{service}",
        tuple(
            (label, text)
            for label, text in (
                *_endpoints(cell),
                *_tuples(flow),
                *_times(flow),
                *_evidence(flow, cell, naming),
                *_links(flow),
            )
            if text
        ),
        *_about(flow, naming, findings),
    )


def _about(
    flow: npt.NDArray[np.void], naming: Naming, findings: tuple[Finding, ...]
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """What explains the flow, or names it; and others about its Service or its addresses."""
    cause = naming.finding(int(flow["explained"][0]))
    others = [f for f in findings if f != cause and _concerns(f, flow, naming)]
    named = [f for f in others if f.subject.flow is not None and _is_same(f.subject.flow, flow)]
    own = (cause, *named) if cause else tuple(named)
    return own, tuple(f for f in others if f not in named)


def _cells(flow: npt.NDArray[np.void], naming: Naming) -> dict[str, str]:
    """The text of every column."""
    return {name: c.text(flow, naming)[0] for name, c in BY_NAME.items() if c.text}


def _endpoints(cell: dict[str, str]) -> list[tuple[str, str]]:
    told = cell["backend"] and cell["engine"] != cells.engine_name(Engine.UNKNOWN)
    gone = cell["departed_s"]
    state = f"{cell['state']}, by {cell['engine']}" if told else cell["state"]
    return [
        ("State", state),
        ("Client", _with_name(cell["client"], cell["client_name"])),
        ("Backend", _with_name(cell["backend"], cell["backend_name"])),
        ("Backend left", f"its Service's slices {gone} before this began" if gone else ""),
        ("Backend sees", cell["source_nat"] or cell["client"]),
    ]


def _with_name(endpoint: str, name: str) -> str:
    return f"{endpoint} ({name})" if endpoint and name else endpoint


def _tuples(flow: npt.NDArray[np.void]) -> list[tuple[str, str]]:
    """The four tuples with the packets seen of each."""
    changed = bool(cells.redirected(flow)[0] or cells.source_changed(flow)[0])
    return [
        (label, f"{_point(flow, src)} → {_point(flow, dst)}{_seen(flow, leg)}")
        for src, dst, label, leg in _TUPLES
        if changed or leg in (Leg.CLIENT_OUT, Leg.CLIENT_IN)
    ]


def _point(flow: npt.NDArray[np.void], side: str) -> str:
    return address.endpoint(flow[side][0].tobytes(), int(flow[f"{side}_port"][0]))


def _seen(flow: npt.NDArray[np.void], leg: Leg) -> str:
    packets = int(flow["leg_packets"][0][leg])
    return f"  ({cells.count_text(packets)} packets seen)" if packets else ""


def _times(flow: npt.NDArray[np.void]) -> list[tuple[str, str]]:
    first, last, request, answer, ended = (
        int(flow[field][0])
        for field in ("first_ns", "last_ns", "request_ns", "answer_ns", "ended_ns")
    )
    waited = f"{(answer - request) / 1e6:.3f} ms" if answer and request else ""
    return [
        ("First seen", rfc3339(first)),
        ("Last seen", rfc3339(last)),
        ("Ended", rfc3339(ended) if ended else ""),
        ("Answer after", waited),
    ]


def _evidence(
    flow: npt.NDArray[np.void], cell: dict[str, str], naming: Naming
) -> list[tuple[str, str]]:
    seen = int(flow["seen"][0])
    told = "; ".join(text for bit, text in _SEEN_TEXTS if seen & bit)
    location = harmless(naming.text(int(flow["drop_location"][0])))
    return [
        ("Seen", told),
        ("Inside", cell["tunnel"]),
        ("Refused by", _refusal(flow)),
        ("Dropped", f"{cell['drop']} at {location}" if cell["drop"] and location else cell["drop"]),
        ("Request repeated", cell["retransmits"] and f"{cell['retransmits']} times"),
        ("Packets", cell["packets"]),
        ("Bytes", cell["bytes"]),
    ]


def _refusal(flow: npt.NDArray[np.void]) -> str:
    sender = flow["refused_by"][0].tobytes()
    if not any(sender):
        return ""
    number = int(flow["refusal"][0])
    error = f", ICMP type {number >> 8} code {number & 0xFF}" if number else ""
    return f"{address.text(sender)}{error}"


def _links(flow: npt.NDArray[np.void]) -> list[tuple[str, str]]:
    before, after = int(flow["upstream"][0]), int(flow["downstream"][0])
    return [
        ("Translated before as", f"flow {before}" if before else ""),
        ("Translated again as", f"flow {after}" if after else ""),
    ]


def _concerns(finding: Finding, flow: npt.NDArray[np.void], naming: Naming) -> bool:
    subject, hit = finding.subject, naming.hit(int(flow["service"][0]))
    service = f"{hit.namespace}/{hit.name}" if hit else None
    ends = [flow[side][0].tobytes() for side in ("virtual", "backend")]
    same_flow = subject.flow is not None and _is_same(subject.flow, flow)
    same_service = service is not None and subject.service == service
    return same_flow or same_service or subject.address in ends


def _is_same(subject: FlowSubject, flow: npt.NDArray[np.void]) -> bool:
    told = (subject.protocol, subject.src, subject.src_port, subject.dst, subject.dst_port)
    return told == (
        int(flow["protocol"][0]),
        flow["client"][0].tobytes(),
        int(flow["client_port"][0]),
        flow["virtual"][0].tobytes(),
        int(flow["virtual_port"][0]),
    )
