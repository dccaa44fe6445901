import numpy as np
import pytest

from tracer.address import column, parse
from tracer.diagnosis import signs
from tracer.events import Protocol
from tracer.flow import FLOW, Seen

NOW = 100_000_000_000
ROW = np.array([0])


def flow(seen=Seen.SYN, **fields):
    """One living TCP row that began to ask 5 s ago, with one packet."""
    made = np.zeros(1, dtype=FLOW)
    made["alive"], made["protocol"], made["seen"] = True, Protocol.TCP, seen
    made["request_ns"] = NOW - 5_000_000_000
    made["leg_packets"][:, 0] = 1
    for name, value in fields.items():
        made[name] = value
    return made


@pytest.mark.parametrize(
    ("seen", "answered"),
    [
        (Seen.SYN, False),
        (Seen.SYN | Seen.ANSWER_CLIENT, True),
        (Seen.SYN_TRANSLATED | Seen.ANSWER_BACKEND, True),
        (Seen.MAPPED | Seen.REPLIED, True),
        (Seen.MAPPED | Seen.ASSURED, True),
        (Seen.MAPPED | Seen.REPLIED | Seen.RST_BEFORE_ANSWER, False),
        (Seen.SYN | Seen.RST_BEFORE_ANSWER, False),
    ],
)
def test_what_counts_as_an_answer(seen, answered):
    assert signs.answered(flow(seen), ROW).tolist() == [answered]


def test_a_client_that_sends_more_than_syns_was_answered():
    repeated = flow(retransmits=1, leg_packets=(2, 0, 0, 0))
    went_on = flow(retransmits=1, leg_packets=(3, 0, 0, 0))
    assert not signs.answered(repeated, ROW)[0]
    assert signs.answered(went_on, ROW)[0]


def test_a_wait_counts_from_the_first_request_else_the_first_record():
    early = flow(Seen.MAPPED, request_ns=0, first_ns=NOW - 4_000_000_000)
    late = flow(Seen.MAPPED, request_ns=NOW - 2_000_000_000, first_ns=1)
    assert signs.overdue(early, ROW, NOW)[0]
    assert not signs.overdue(late, ROW, NOW)[0]


def test_evidence_changes_with_bits_waiting_and_repetition_only():
    def state(now=NOW, **fields):
        return int(signs.evidence_state(flow(**fields), ROW, now)[0])

    assert state() == state(now=NOW + 60_000_000_000)
    assert state() == state(bytes=99)
    assert len({state(), state(now=NOW - 4_000_000_000), state(retransmits=1, leg_packets=2)}) == 3
    assert state(seen=0) > 0


def test_an_answered_flow_is_not_judged_again_for_each_packet():
    answered = Seen.SYN | Seen.ANSWER_CLIENT
    one = signs.evidence_state(flow(answered), ROW, NOW)
    more = signs.evidence_state(flow(answered, leg_packets=5), ROW, NOW + 10**10)
    assert one == more


def test_rows_are_told_in_order_of_time_then_client():
    flows = np.concatenate([flow(client_port=port) for port in (3, 1, 2)])
    flows["request_ns"][0] -= 1
    assert signs.in_order(flows, np.arange(3)).tolist() == [0, 1, 2]
    flows["client_port"][1:] = 2, 1
    assert signs.in_order(flows, np.arange(3)).tolist() == [0, 2, 1]


def test_addresses_are_found_among_a_few():
    addresses = column([parse("10.0.0.1"), parse("10.0.0.2"), parse("fd00::1")])
    wanted = frozenset({parse("10.0.0.2"), parse("fd00::1")})
    assert signs.among(addresses, wanted).tolist() == [False, True, True]
    assert not signs.among(addresses, frozenset()).any()
