"""Batches as payloads: kernel records raw, what was lost, texts, and how far time has come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct

import numpy as np
import numpy.typing as npt

from tracer.events import EventBatch, Loss, Origin, Records, as_rows, stacked
from tracer.recording.layout import converted

_HEAD = Struct("<qBBHIIIQQQ")
"""until, origin, restated, zero, records, damaged, bytes of JSON, lost (kernel, socket, queue)."""
_ORIGINS = {int(origin): origin for origin in Origin}
_TICK = np.dtype([("until_ns", "<i8"), ("origin", "u1")])


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch without its packets."""

    batch: EventBatch
    restated: bool
    """Flows older than this file, repeated in it: known to whoever read the file before."""


def encode(batch: EventBatch, restated: bool = False) -> bytes:
    """Everything about a batch but its packets, which stand before it."""
    records = batch.records if batch.packets is None else batch.records[:0]
    said = {"texts": batch.texts, "interfaces": batch.interfaces}
    notes = json.dumps(said).encode() if batch.texts or batch.interfaces else b""
    lost = batch.lost
    head = _HEAD.pack(
        *(batch.until_ns, batch.origin, restated, 0, len(records), batch.damaged, len(notes)),
        *(lost.kernel, lost.socket, lost.queue),
    )
    return head + stacked([as_rows(records)]).tobytes() + notes


def decode(payload: bytes, layout: np.dtype[np.void]) -> StoredBatch:
    """The batch in a payload; ValueError or KeyError if it is not whole."""
    if len(payload) < _HEAD.size:
        raise ValueError("a batch is cut off")
    until_ns, origin, restated, _, count, damaged, size, *lost = _HEAD.unpack_from(payload)
    end = _HEAD.size + count * layout.itemsize
    if len(payload) != end + size:
        raise ValueError("a batch has another size than it says")
    records = _records(payload[_HEAD.size : end], layout)
    said = json.loads(payload[end:]) if size else {}
    batch = EventBatch(
        records,
        _ORIGINS[origin],
        until_ns,
        Loss(*lost),
        damaged,
        texts=_numbered(said.get("texts", {})),
        interfaces=_numbered(said.get("interfaces", {})),
    )
    return StoredBatch(batch, bool(restated))


def _records(raw: bytes, layout: np.dtype[np.void]) -> Records:
    rows: npt.NDArray[np.void] = np.frombuffer(raw, dtype=layout)
    return converted(rows).copy()


def _numbered(texts: Mapping[str, object]) -> dict[int, str]:
    return {int(number): str(text) for number, text in texts.items()}


def is_tick(batch: EventBatch) -> bool:
    """Whether a batch brings nothing but time."""
    brings = batch.lost or batch.damaged or batch.texts or batch.interfaces
    return not len(batch.records) and not brings


def encode_ticks(ticks: list[EventBatch]) -> bytes:
    """Batches that bring nothing but time."""
    rows = np.zeros(len(ticks), dtype=_TICK)
    rows["until_ns"] = [tick.until_ns for tick in ticks]
    rows["origin"] = [tick.origin for tick in ticks]
    return rows.tobytes()


def decode_ticks(payload: bytes) -> list[tuple[int, Origin]]:
    """(until, origin) of each; ValueError if the payload is not whole."""
    rows = np.frombuffer(payload, dtype=_TICK)
    return [(until_ns, _ORIGINS[origin]) for until_ns, origin in rows.tolist()]
