"""Whether every mapping that the kernel told of has one translation: its own backend and time."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lab.tracing import Line
from tracer.address import text
from tracer.capture_file import CaptureStream
from tracer.events import EventBatch, Flag, Hook, Protocol
from tracer.sources.recording import RecordingSource

Key = tuple[str, str, int, str, int]
"""Protocol, client, backend."""
ASKED_BEFORE_NS = 8_000_000_000
"""A request may have been resent a few times before the kernel takes it."""
LATE_NS = 200_000_000
_NAMES = {Protocol.TCP: "tcp", Protocol.UDP: "udp"}


def without_translation(recording: Path, lines: Iterable[Line]) -> tuple[int, list[str]]:
    """How many mappings were told, and those that no translation of their own shows.

    ``lines``: what was printed while the recording was made.
    """
    shown = _translations(lines)
    told, missing = 0, []
    for key, at_ns in sorted(_mappings(recording), key=lambda mapping: mapping[1]):
        told += 1
        began = shown[key]
        place = bisect_left(began, at_ns - ASKED_BEFORE_NS)
        if place < len(began) and began[place] <= at_ns + LATE_NS:
            del began[place]
        else:
            missing.append(f"{key[0]} {key[1]}:{key[2]} to {key[3]}:{key[4]}, told at {at_ns} ns")
    return told, missing


def _mappings(recording: Path) -> Iterator[tuple[Key, int]]:
    """Each new entry of conntrack that changes the destination, with its record time."""
    source = RecordingSource(CaptureStream(recording))
    source.open()
    try:
        while (batch := source.read(1.0)) is not None:
            if not isinstance(batch, EventBatch) or not len(batch.records):
                continue
            rows = batch.records
            new = (rows["hook"] == Hook.CT_NEW) & (rows["flags"] & Flag.EXISTING == 0)
            new &= (rows["dst"] != rows["nat_dst"]).any(axis=1)
            for row in np.flatnonzero(new).tolist():
                client = text(rows["src"][row].tobytes()), int(rows["src_port"][row])
                backend = text(rows["nat_dst"][row].tobytes()), int(rows["nat_dst_port"][row])
                name = _NAMES[Protocol(int(rows["protocol"][row]))]
                yield (name, *client, *backend), int(rows["time_ns"][row])
    finally:
        source.close()


def _translations(lines: Iterable[Line]) -> dict[Key, list[int]]:
    """When the translations of each pair of ends began, in order; the last word of each counts."""
    latest: dict[int, tuple[Key, int]] = {}
    for line in lines:
        if line["type"] == "translation" and line["backend"]:
            client, backend = line["client"], line["backend"]
            ends = client["ip"], client["port"], backend["ip"], backend["port"]
            began = np.datetime64(line["first"].rstrip("Z"), "ns").astype(np.int64)
            latest[line["id"]] = (line["protocol"], *ends), int(began)
    shown: dict[Key, list[int]] = defaultdict(list)
    for key, began_ns in latest.values():
        shown[key].append(began_ns)
    for times in shown.values():
        times.sort()
    return shown
