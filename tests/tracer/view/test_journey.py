from __future__ import annotations

import pytest

from probes.hooks import HOOKS
from tests.builders import batch, mapping, packet, record
from tests.tracer.shown import VIP, WEB, traced
from tests.tracer.view.test_packets import sniffed
from tracer.detail import Step, Way
from tracer.events import Flag, Hook
from tracer.view import View, ViewQuery
from tracer.view.journey import FUNCTIONS

CLIENT, NODE = "10.244.3.8:40000", "192.168.1.3:5000"
CHOSEN = mapping(
    1.1, CLIENT, VIP, WEB, source=NODE, hook=Hook.IPVS_NEW, flags=Flag.DST_NAT | Flag.IPVS
)
CONFIRMED = mapping(1.2, CLIENT, VIP, WEB, source=NODE)
REQUEST = (packet(1.0, CLIENT, VIP, "S"), packet(1.3, NODE, WEB, "S", ifindex=3))
ANSWER = (packet(1.4, WEB, NODE, "SA", ifindex=3), packet(1.5, VIP, CLIENT, "SA"))


def way(*records, packets=(), until: float = 2.0) -> list[Step]:
    """The path of flow 1 after these kernel records and packets."""
    view, pipeline = View(), traced()
    told = batch(*records, until=until, interfaces={2: "eth0", 3: "cni0"}, texts={1: "NO_SOCKET"})
    for fed in (told, *([sniffed(*packets)] if packets else [])):
        view.observe(pipeline, pipeline.feed(fed))
    detail = view.answer(pipeline, ViewQuery(selected=1)).detail
    assert detail is not None
    return list(detail.path)


def test_an_answered_flow_is_followed_there_and_back():
    steps = way(CHOSEN, CONFIRMED, packets=REQUEST + ANSWER)
    assert [step.what for step in steps] == [
        "client shop/client 10.244.3.8:40000",
        "eth0: SYN",
        "IPVS: the virtual server chose a backend",
        "conntrack confirmed",
        "cni0: SYN",
        "backend shop/web-1 10.244.1.5:8080",
        "cni0: SYN ACK",
        "eth0: SYN ACK",
        "the client has its answer after 400.000 ms",
    ]
    assert steps[1].addresses == f"{CLIENT} → {VIP}"
    assert steps[4].addresses == f"{NODE} → {WEB}"
    assert steps[6].addresses == f"{WEB} → {NODE}"
    assert [step.since_ns for step in steps[1:3]] == [0, 100_000_000]


def test_a_dropped_flow_ends_where_it_was_dropped():
    drop = record(Hook.DROP, 1.4, NODE, WEB, reason=1, tcp_flags=2)
    steps = way(CONFIRMED, drop, packets=REQUEST, until=9.0)
    assert (steps[-2].way, steps[-2].what) == (Way.FAILED, "dropped (NO_SOCKET)")
    assert steps[-1].what.startswith("ends here, lost")
    assert "backend shop/web-1 10.244.1.5:8080" not in [step.what for step in steps]


def test_a_refused_flow_says_by_whom():
    refusal = packet(1.4, WEB, NODE, "RA", ifindex=3)
    steps = way(CONFIRMED, packets=(*REQUEST, refusal))
    assert steps[-2].what == "cni0: RST ACK"
    assert steps[-1].what.startswith("ends here, refused")


def test_a_flow_without_an_answer_says_so():
    assert way(CONFIRMED, packets=REQUEST)[-1].what == "no answer has been seen so far"


def test_the_row_tells_of_a_translation_whose_records_are_gone():
    view, pipeline = View(), traced()
    pipeline.feed(batch(CONFIRMED, until=2.0))
    detail = view.answer(pipeline, ViewQuery(selected=1)).detail
    assert detail is not None
    decided = [step for step in detail.path if step.way is Way.DECIDED]
    assert [(step.what, step.addresses) for step in decided] == [
        ("translated by ipvs", f"{NODE} → {WEB}")
    ]


@pytest.mark.parametrize("count", [1, 9])
def test_repeated_failures_are_told_a_few_times(count):
    drops = [record(Hook.DROP, 2 + at, CLIENT, VIP, tcp_flags=2) for at in range(count)]
    failed = [step for step in way(CONFIRMED, *drops)[:-1] if step.way is Way.FAILED]
    assert len(failed) == min(count, 4)


def test_the_functions_are_those_that_are_probed():
    probed = {symbol for hook in HOOKS for symbol in hook.symbols}
    assert {name for names in FUNCTIONS.values() for name in names} <= probed
