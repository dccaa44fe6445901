"""The table of causes and inputs is what the recordings show, and what they show is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.causes import matrix, page, table
from lab.judge import Recorded, is_fallback, live, packets_alone
from lab.verdicts import judged, read
from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.events import Flag, picked

ROOT = Path(__file__).parent.parent.parent
PCAPS = ROOT / "pcaps"
VERDICTS = read(PCAPS / "verdicts.ndjson")
BY_NAME = {verdict.scenario: verdict for verdict in VERDICTS}
HEALTHY = [v.scenario for v in VERDICTS if not v.expected]
SILENCE_S, WORD_S = 4.0, 1.0


def test_every_recording_was_judged_for_what_it_should_show():
    """If this fails: make causes."""
    there = {path.parent.name: Recorded(path.parent) for path in PCAPS.glob("*/expected.json")}
    assert BY_NAME.keys() == there.keys()
    assert {n: set(v.expected) for n, v in BY_NAME.items()} == {
        name: set(recorded.causes) for name, recorded in there.items()
    }


def test_the_page_is_made_from_them():
    """If this fails: make causes."""
    assert (ROOT / "docs" / "causes" / "seen.md").read_text() == page(VERDICTS)


@pytest.mark.parametrize("name", ["svc-no-endpoints-iptables", "mtu-blackhole", "kube-ipvs0"])
def test_what_was_kept_is_what_is_judged_now(name):
    assert judged(PCAPS / name) == BY_NAME[name]


def test_no_cause_is_named_that_was_not_there_from_any_input_nor_after_losses():
    assert {v.scenario: v.false_alarms for v in VERDICTS if v.false_alarms} == {}


def test_packets_alone_name_no_wrong_cause_either():
    for verdict in VERDICTS:
        named = {cause for cause in verdict.found["capture"] if not is_fallback(cause)}
        assert named <= set(verdict.expected), verdict.scenario


def test_every_cause_of_every_recording_is_named_live_and_nothing_beside_it():
    for verdict in VERDICTS:
        assert set(verdict.found["bpf"]) == set(verdict.expected), verdict.scenario


def test_findings_come_in_time():
    for verdict in VERDICTS:
        for cause, seconds in verdict.after_s.items():
            if cause in verdict.told and verdict.probes:
                assert verdict.after_word_s.get(cause, seconds) < WORD_S, verdict
            assert seconds < SILENCE_S, verdict


def test_what_silence_told_is_less_sure_once_records_are_missing():
    weaker = 0
    for verdict in VERDICTS:
        for run in verdict.lossy:
            for cause in set(run) & set(verdict.expected) - set(verdict.told):
                assert run[cause] <= verdict.confidence.get(cause, 1.0)
                weaker += run[cause] < verdict.confidence.get(cause, 1.0)
    assert weaker


def test_losses_leave_no_false_blackhole_whichever_records_they_take():
    recorded = Recorded(PCAPS / "cluster-ip-keeps-source")
    for seed in range(10, 16):
        found = live(recorded, probes=True, keep=0.8, seed=seed).found
        assert not found, seed


@pytest.mark.parametrize("name", ["cluster-ip-keeps-source", "node-port-chain-walk"])
def test_a_capture_of_one_direction_says_nothing_of_what_it_does_not_show(name):
    class OneWay(Recorded):
        @property
        def packets(self):
            every = Recorded(self.folder).packets
            return picked(every, every["dst_port"] < every["src_port"])

    assert packets_alone(OneWay(PCAPS / name)).found == {}


def test_a_capture_of_what_goes_out_only_names_no_cause():
    class Outgoing(Recorded):
        @property
        def packets(self):
            every = Recorded(self.folder).packets
            return picked(every, every["flags"] & Flag.OUTGOING != 0)

    found = packets_alone(Outgoing(PCAPS / "node-port-chain-walk")).found
    assert all(is_fallback(cause) for cause in found)


def test_the_table_has_a_line_for_each_cause_and_mode_and_no_empty_cell():
    lines = list(table(VERDICTS))[2:]
    assert len(lines) == sum(len(cause.modes) for cause in CAUSES_BY_ID.values())
    assert all(cell.strip() for line in lines for cell in line.strip("|").split("|"))


def test_a_wrong_finding_shows_in_the_matrix():
    one = BY_NAME["kube-ipvs0"]
    wrong = replace(one, found={**one.found, "bpf": ("conntrack-table-full",)})
    text = "\n".join(matrix([wrong]))
    assert "| (healthy) | conntrack-table-full | 1 |" in text
    assert "critical: 0 right, 1 wrong (precision 0.000)" in text
