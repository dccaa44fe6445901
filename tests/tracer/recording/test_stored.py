"""Recordings of earlier versions stay readable: one small file of each is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tracer.recording.stories import opened, replayed
from tracer.errors import InputError
from tracer.events import EVENT
from tracer.recording.header import VERSION, Header, decoded
from tracer.recording.layout import converted

STORED = sorted((Path(__file__).parent / "stored").glob("*.pcapng"))
LASTING = ("type", "first", "protocol", "client", "virtual", "backend", "service", "cause", "since")
"""What later rules may not say otherwise: they read the same inputs."""


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_recording_is_read(path: Path):
    lines = [json.loads(line) for line in replayed(opened(path))]
    expected = [json.loads(line) for line in path.with_suffix(".ndjson").read_text().splitlines()]
    flows = [line for line in expected if line["type"] == "translation"]
    found = [line for line in lines if line["type"] == "translation"]
    assert [_lasting(line) for line in found] == [_lasting(line) for line in flows]
    assert any(line["type"] == "finding" for line in lines)


def _lasting(line: dict) -> dict:
    return {name: line.get(name) for name in LASTING if name != "cause"}


def test_every_version_has_its_stored_file():
    assert [path.stem for path in STORED] == [f"version-{n}" for n in range(1, VERSION + 1)]


def test_columns_are_matched_by_name():
    older = np.dtype([(name, EVENT[name]) for name in EVENT.names if name != "ttl"][::-1])
    rows = np.zeros(1, dtype=older)
    rows["seq"], rows["src_port"] = 7, 443
    now = converted(rows)
    assert (now["seq"][0], now["src_port"][0], now["ttl"][0]) == (7, 443, 0)


def test_the_layout_of_records_is_in_the_header():
    older = np.dtype([(name, EVENT[name]) for name in EVENT.names if name != "ttl"])
    assert decoded(Header(event=older).encoded(), "x").event == older
    assert decoded(Header(node="w1", part=3).encoded(), "x") == Header(node="w1", part=3)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "event": [["time_ns", "O"]]}'],
)
def test_a_damaged_header_is_an_error(payload):
    with pytest.raises(InputError, match="cannot read x"):
        decoded(payload, "x")
