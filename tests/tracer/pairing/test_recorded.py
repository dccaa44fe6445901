"""Captures of real kernels whose own events were recorded beside the packets."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tracer.pairing.story import ends
from tracer.events import Flag, Hook, Records, picked, stacked
from tracer.pairing import Pairer
from tracer.sources.capture import CaptureSource

RECORDED = sorted(Path(__file__).parents[3].glob("pcaps/*/events.npy"))
MAPPINGS = (Hook.CT_NEW, Hook.CT_UPDATE, Hook.CT_END)


def packets_of(folder: Path) -> Records:
    source = CaptureSource([folder / "capture.pcapng"])
    source.open()
    try:
        return stacked([batch.records for batch in iter(lambda: source.read(0), None)])
    finally:
        source.close()


def lone_short_datagrams(packets: Records) -> set[tuple]:
    """Senders of one datagram of a few bytes: too little to believe a translation by."""
    rows = picked(packets, np.flatnonzero(packets["protocol"] == 17))
    sizes: dict[tuple, list[int]] = {}
    for row in rows:
        sizes.setdefault((17, *ends(row)[:2]), []).append(int(row["detail"]))
    return {each[:2] for each, found in sizes.items() if len(found) == 1 and found[0] < 8}


def told_by(events: Records, hooks: tuple[Hook, ...]) -> set[tuple]:
    """The translations in records of these hooks."""
    final = np.isin(events["hook"], hooks) & (events["flags"] & Flag.AFTER != 0)
    told = {(int(row["protocol"]), *ends(row)) for row in picked(events, np.flatnonzero(final))}
    return {(protocol, *four) for protocol, *four in told if four[:2] != four[2:]}


def mapped(events: Records) -> set[tuple]:
    """What conntrack confirmed; of connections kept out of conntrack, what IPVS did."""
    confirmed = told_by(events, MAPPINGS)
    known = {translation[:3] for translation in confirmed}
    return confirmed | {t for t in told_by(events, (Hook.IPVS_NEW,)) if t[:3] not in known}


def never_confirmed(folder: Path) -> int:
    """Translations that leave and that conntrack drops all the same: a bridge's."""
    expected = json.loads((folder / "expected.json").read_text())
    return max(0, expected.get("visible_in_packets", 0) - expected["translations"])


@pytest.mark.parametrize("events", RECORDED, ids=lambda path: path.parent.name)
def test_the_packets_tell_what_the_kernel_did(events):
    packets = packets_of(events.parent)
    seen = {(int(row["protocol"]), *ends(row)[:2]) for row in packets}
    visible = {
        (protocol, *four)
        for protocol, *four in mapped(np.load(events))
        if {(protocol, *four[:2]), (protocol, *four[2:])} <= seen
    }
    pairer = Pairer(seed=1)
    told = stacked([pairer.feed(packets), pairer.finish()])
    paired = {(int(row["protocol"]), *ends(row)) for row in told}
    assert len(paired - visible) == never_confirmed(events.parent)
    assert {each[:2] for each in visible - paired} <= lone_short_datagrams(packets)
