"""The page of events: the time line as rows, the newest on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tracer import address
from tracer.cells import Naming
from tracer.clock import rfc3339
from tracer.detail import Detail
from tracer.events import PROTOCOL_NAMES, EventRows, Flag, Hook, picked
from tracer.plain import harmless
from tracer.view.query import ViewQuery
from tracer.view.sheet import Heading, Sheet, Tone, window_of
from tracer.view.timeline import Change, Timeline
from tracer.view.touching import touched

HEADINGS = (
    Heading("Time"),
    Heading("What"),
    Heading("Packet or connection"),
    Heading("Translated to"),
    Heading("Why, where"),
    Heading("Interface"),
)
_HOOKS: Mapping[int, tuple[str, Tone]] = {
    Hook.IPVS_NEW: ("IPVS chose a backend", Tone.PLAIN),
    Hook.IPVS_NO_DEST: ("IPVS: no destination", Tone.BAD),
    Hook.IPVS_FAILED: ("IPVS failed", Tone.BAD),
    Hook.IPVS_SENT: ("IPVS sent to backend", Tone.PLAIN),
    Hook.IPVS_REPLY: ("IPVS translated reply", Tone.PLAIN),
    Hook.IPVS_END: ("IPVS connection ended", Tone.DIM),
    Hook.NAT_DECIDED: ("NAT decided", Tone.PLAIN),
    Hook.CT_NEW: ("conntrack confirmed", Tone.PLAIN),
    Hook.CT_UPDATE: ("conntrack updated", Tone.DIM),
    Hook.CT_FAILED: ("conntrack refused", Tone.BAD),
    Hook.CT_FULL: ("conntrack full", Tone.BAD),
    Hook.CT_END: ("conntrack ended", Tone.DIM),
    Hook.VERDICT: ("hook verdict", Tone.PLAIN),
    Hook.TABLE: ("rules verdict", Tone.PLAIN),
    Hook.ICMP_SENT: ("ICMP error sent", Tone.WARN),
    Hook.RST_SENT: ("reset sent", Tone.WARN),
    Hook.DROP: ("dropped", Tone.BAD),
    Hook.LOCAL_IN: ("delivered locally", Tone.PLAIN),
    Hook.FORWARD: ("forwarded", Tone.PLAIN),
    Hook.IPVS_NO_ROUTE: ("IPVS: no route", Tone.BAD),
}
_VERDICTS = {0: "drop", 1: "accept", 2: "stolen", 3: "queue", 4: "repeat"}


def event_sheet(
    timeline: Timeline,
    flow: npt.NDArray[np.void],
    naming: Naming,
    interfaces: dict[int, str],
    query: ViewQuery,
    passes: Callable[[EventRows], npt.NDArray[np.bool_]] | None = None,
) -> tuple[Sheet, Detail | None]:
    """The wanted window, of one flow if there is one, and all about the selected row.

    ``passes``: which records are of flows that a filter lets through; changes are of none.
    """
    records, ids = timeline.records()
    if len(flow) or passes:
        mine = touched(records, flow) if len(flow) or not passes else passes(records)
        rows = np.flatnonzero(mine)
        records, ids = picked(records, rows), ids[rows]
    changes = [] if len(flow) or passes else list(timeline.changes)
    ids = np.concatenate((ids, np.array([change.id for change in changes], dtype=np.int64)))
    limit = timeline.newest if query.until < 0 else query.until
    order = _newest_first(records, changes, ids, limit, query.at_ns)
    start, end = window_of(len(order), query.start, query.height)
    at = np.flatnonzero(ids[order] == query.row) if query.row else order[:0]
    rows_shown = [_row(records, changes, place, naming, interfaces) for place in order[start:end]]
    sheet = Sheet(
        HEADINGS,
        start,
        tuple(ids[order[start:end]].tolist()),
        tuple(cells for cells, _ in rows_shown),
        tuple(tone for _, tone in rows_shown),
        len(order),
        int(at[0]) if at.size else -1,
        newest=min(limit, timeline.newest),
        fresh=int(np.count_nonzero(ids[order] > query.mark)) if query.mark else 0,
    )
    if not at.size:
        return sheet, None
    chosen = _row(records, changes, int(order[at[0]]), naming, interfaces)[0]
    return sheet, _detail(query.row, chosen, records, int(order[at[0]]))


def _newest_first(
    records: EventRows, changes: list[Change], ids: npt.NDArray[np.int64], limit: int, at_ns: int
) -> npt.NDArray[np.intp]:
    """Places up to an id, and up to a moment if there is one."""
    times = np.concatenate(
        (records["time_ns"], np.array([change.at_ns for change in changes], dtype=np.int64))
    )
    order = np.lexsort((ids, times))[::-1]
    wanted = (ids <= limit) & (times <= at_ns) if at_ns else ids <= limit
    return order[wanted[order]]


def _row(
    records: EventRows,
    changes: list[Change],
    place: int,
    naming: Naming,
    interfaces: dict[int, str],
) -> tuple[tuple[str, ...], Tone]:
    if place >= len(records):
        change = changes[place - len(records)]
        return (_time(change.at_ns), change.what, change.text, "", "", ""), change.tone
    record = records[place]
    what, tone = _HOOKS.get(int(record["hook"]), (f"hook {record['hook']}", Tone.PLAIN))
    return (
        _time(int(record["time_ns"])),
        what,
        _packet(record),
        _after(record),
        harmless(reason_text(record, naming)),
        harmless(interfaces.get(int(record["ifindex"]), "")),
    ), tone


def _time(time_ns: int) -> str:
    """Time of day, microseconds."""
    return rfc3339(time_ns)[11:26]


def _end(record: np.void, side: str) -> str:
    return address.endpoint(record[side].tobytes(), int(record[f"{side}_port"]))


def _packet(record: np.void) -> str:
    protocol = int(record["protocol"])
    name = PROTOCOL_NAMES.get(protocol, str(protocol))
    return f"{name} {_end(record, 'src')} → {_end(record, 'dst')}"


def _after(record: np.void) -> str:
    """What the translation changed, and only that."""
    if not record["flags"] & Flag.AFTER:
        return ""
    changed = []
    if _end(record, "nat_dst") != _end(record, "dst"):
        changed.append(f"→ {_end(record, 'nat_dst')}")
    if _end(record, "nat_src") != _end(record, "src"):
        changed.append(f"from {_end(record, 'nat_src')}")
    return " ".join(changed) or "as it was"


def reason_text(record: np.void, naming: Naming) -> str:
    """Why or where, as far as this kind of record tells."""
    hook, reason, detail = (int(record[field]) for field in ("hook", "reason", "detail"))
    if hook == Hook.DROP:
        return " at ".join(text for text in (naming.text(reason), naming.text(detail)) if text)
    if hook == Hook.ICMP_SENT:
        return f"type {detail >> 8} code {detail & 0xFF}"
    if hook == Hook.NAT_DECIDED:
        return "destination" if reason else "source"
    if hook in (Hook.TABLE, Hook.VERDICT):
        verdict = _VERDICTS.get(reason & 0xFF, str(reason))
        return f"{naming.text(detail)} {verdict}" if hook == Hook.TABLE else verdict
    return ""


def _detail(row_id: int, cells: tuple[str, ...], records: EventRows, place: int) -> Detail:
    facts = [(heading.title, cell) for heading, cell in zip(HEADINGS, cells, strict=True) if cell]
    if place < len(records):
        record = records[place]
        facts += [
            (label, str(int(record[field])))
            for label, field in (("Netns", "netns"), ("Bytes", "length"), ("TTL", "ttl"))
            if record[field]
        ]
        flags = [str(flag.name).lower() for flag in Flag if record["flags"] & flag]
        facts.append(("Flags", ", ".join(flags)))
        facts.append(("Time", rfc3339(int(record["time_ns"]))))
    return Detail(row_id, cells[1], tuple(facts))
