from dataclasses import replace

import numpy as np

from tracer.address import parse
from tracer.diagnosis.finding import Evidence, Finding, FlowSubject, Severity, Subject
from tracer.diagnosis.ledger import NOT_KEPT, Ledger

NOBODY = np.zeros(1, dtype=np.uint32)


def finding(service="ns/web", cause="svc-no-endpoints", **fields) -> Finding:
    made = Finding(cause, Severity.WARNING, 0.5, 10, Subject(service), "it is so", (), ("do",))
    return replace(made, **{"last_ns": 10, **fields})


def marks(*serials):
    return np.array(serials, dtype=np.uint32)


def test_the_same_fault_is_one_finding_with_a_count():
    ledger = Ledger()
    serial = ledger.absorb_flows(finding(), marks(0))
    assert ledger.absorb_flows(finding(since_ns=5, last_ns=30), marks(0, 0)) == serial
    (kept,) = ledger.open()
    assert (kept.count, kept.since_ns, kept.last_ns) == (3, 5, 30)


def test_a_flow_that_is_judged_again_is_not_counted_again():
    ledger = Ledger()
    serial = ledger.absorb_flows(finding(), marks(0))
    ledger.absorb_flows(finding(), marks(serial))
    assert ledger.open()[0].count == 1


def test_the_surer_word_wins_and_severity_only_rises():
    ledger = Ledger()
    ledger.absorb_flows(finding(confidence=0.9, summary="sure"), NOBODY)
    ledger.absorb_flows(
        finding(confidence=0.4, summary="guess", severity=Severity.CRITICAL), NOBODY
    )
    (kept,) = ledger.open()
    assert (kept.summary, kept.confidence, kept.severity) == ("sure", 0.9, Severity.CRITICAL)


def test_evidence_is_bounded_and_never_repeated():
    ledger = Ledger(max_evidence=3)
    for number in (0, 0, 1, 2, 3):
        lines = (Evidence("packet", f"flow {number}"),)
        ledger.absorb_flows(finding(evidence=lines), NOBODY)
    (kept,) = ledger.open()
    assert [line.text for line in kept.evidence] == ["flow 0", "flow 1", "flow 2"]
    assert kept.count == 5


def test_consequences_stand_behind_their_root_whatever_their_weight():
    ledger = Ledger()
    grave = {"severity": Severity.CRITICAL, "since_ns": 1, "consequence_of": "root"}
    ledger.absorb_flows(finding("ns/follows", "other", **grave), NOBODY)
    ledger.absorb_flows(finding("ns/lonely", "other", consequence_of="closed"), NOBODY)
    ledger.absorb_flows(finding("ns/root", "root", since_ns=5), NOBODY)
    ledger.absorb_flows(finding("ns/root-too", "root", since_ns=6), NOBODY)
    order = [found.subject.service for found in ledger.open()]
    assert order == ["ns/root", "ns/follows", "ns/root-too", "ns/lonely"]


def test_open_findings_are_sorted_by_weight_then_age():
    ledger = Ledger()
    ledger.absorb_flows(finding("ns/new", since_ns=9), NOBODY)
    ledger.absorb_flows(finding("ns/old", since_ns=3), NOBODY)
    ledger.absorb_flows(finding("ns/grave", severity=Severity.CRITICAL), NOBODY)
    assert [f.subject.service for f in ledger.open()] == ["ns/grave", "ns/old", "ns/new"]


def test_a_step_says_what_opened_changed_and_closed_once():
    ledger = Ledger()
    ledger.absorb_flows(finding(), NOBODY)
    ledger.absorb_flows(finding(), NOBODY)
    first = ledger.drain()
    assert [f.count for f in first.opened] == [2]
    assert first.updated == first.closed == ()
    ledger.absorb_flows(finding(), NOBODY)
    ledger.absorb_flows(finding(), NOBODY)
    assert [f.count for f in ledger.drain().updated] == [4]
    ledger.close_cured(lambda _: False, 20)
    (closed,) = ledger.drain().closed
    assert not closed.open
    assert not ledger.drain()


def test_state_findings_close_when_they_are_found_no_more():
    ledger = Ledger()
    ledger.absorb_state([finding("ns/a"), finding("ns/b")], 100)
    ledger.drain()
    ledger.absorb_state([finding("ns/b", since_ns=50)], 200)
    changes = ledger.drain()
    assert [f.subject.service for f in changes.closed] == ["ns/a"]
    assert changes.opened == changes.updated == ()
    assert ledger.open()[0].since_ns == 10


def test_flows_add_to_what_the_state_shows_and_cannot_close_it():
    ledger = Ledger()
    ledger.absorb_state([finding(count=0)], 100)
    example = FlowSubject(6, parse("10.0.0.1"), 1, parse("10.0.0.2"), 2)
    serial = ledger.absorb_flows(finding(subject=Subject("ns/web", flow=example)), marks(0, 0))
    assert (ledger.open()[0].count, ledger.open()[0].subject.flow) == (2, example)
    ledger.withdraw(serial, 2, 150, superseded=False)
    ledger.close_cured(lambda _: False, 200)
    assert ledger.open()[0].count == 0


def test_flows_that_turn_out_well_take_the_finding_with_them():
    ledger = Ledger()
    serial = ledger.absorb_flows(finding(), marks(0, 0))
    ledger.withdraw(serial, 1, 20, superseded=False)
    assert ledger.open()[0].count == 1
    ledger.withdraw(serial, 1, 30, superseded=False)
    assert ledger.open() == []
    assert ledger.closed()[0].cause == "svc-no-endpoints"
    assert ledger.counts() == {"svc-no-endpoints": 1}


def test_what_is_explained_otherwise_never_was_a_finding():
    ledger = Ledger()
    serial = ledger.absorb_flows(finding(), marks(0))
    ledger.withdraw(serial, 1, 20, superseded=True)
    assert ledger.open() == ledger.closed() == []
    assert ledger.counts() == {}
    assert len(ledger.drain().closed) == 1


def test_a_closed_fault_is_opened_again_by_new_flows_only():
    ledger = Ledger()
    serial = ledger.absorb_flows(finding(), marks(0))
    ledger.close_cured(lambda _: False, 20)
    assert ledger.absorb_flows(finding(), marks(serial)) == serial
    assert ledger.open() == []
    assert ledger.absorb_flows(finding(), marks(serial, 0)) != serial
    assert len(ledger.open()) == 1
    assert ledger.closed() == []
    assert ledger.counts() == {"svc-no-endpoints": 1}


def test_withdrawals_of_forgotten_findings_are_harmless():
    ledger = Ledger()
    ledger.withdraw(77, 3, 20, superseded=False)
    assert not ledger.drain()


def test_closed_findings_are_bounded_and_still_counted():
    ledger = Ledger(max_closed=3)
    for number in range(10):
        ledger.absorb_flows(finding(f"ns/{number}"), NOBODY)
    ledger.close_cured(lambda _: False, 20)
    assert [f.subject.service for f in ledger.closed()] == ["ns/7", "ns/8", "ns/9"]
    assert ledger.forgotten == {"svc-no-endpoints": 7}
    assert ledger.counts() == {"svc-no-endpoints": 10}


def test_open_findings_are_bounded_and_the_rest_is_counted():
    ledger = Ledger(max_open=2)
    kept = [ledger.absorb_flows(finding(f"ns/{number}"), NOBODY) for number in range(5)]
    assert kept[2:] == [NOT_KEPT] * 3
    assert len(ledger.open()) == 2
    assert ledger.overflow == {"svc-no-endpoints": 3}
    assert ledger.counts() == {"svc-no-endpoints": 5}
