from __future__ import annotations

from dataclasses import replace

from tests.builders import at, batch, packet
from tests.tracer.shown import VIP, blackhole, connect, end, traced
from tracer.flow import State
from tracer.view.past import CLOSINGS_KEPT, Closings, flows_at


def test_answers_and_ends_that_came_later_are_undone():
    pipeline = traced()
    connect(pipeline, 1.0, count=2)
    client = "10.244.3.8:40000"
    said = packet(1.0, client, VIP, "S"), packet(3.0, VIP, client, "SA")
    pipeline.feed(batch(*said, until=3.0))
    end(pipeline, 5.0)
    connect(pipeline, 7.0, port=9)
    table = pipeline.table
    states = []
    for seconds in (0, 2, 4, 6):
        past = flows_at(table.flows, table.alive(), at(seconds))
        states.append([State(state) for state in past["state"].tolist()])
        assert (past["last_ns"] <= at(seconds)).all()
    assert states[0] == []
    assert states[1] == [State.NEW, State.NEW]
    assert states[2][0] not in (State.NEW, State.CLOSED)
    assert states[3] == [State.CLOSED, State.NEW]
    assert len(flows_at(table.flows, table.alive(), at(9))) == 3


def test_a_finding_was_open_until_it_closed():
    closings, gone = Closings(), blackhole(open=False, last_ns=at(2))
    closings.note((gone,), at(5))
    assert [closings.open_at(gone, at(seconds)) for seconds in (-1, 0, 4, 5)] == [
        *(False, True, True, False)
    ]
    assert closings.open_at(blackhole(), at(99))


def test_of_forgotten_closings_the_last_sight_counts():
    closings, gone = Closings(), blackhole(open=False, last_ns=at(2))
    closings.note((gone,), at(5))
    others = tuple(replace(gone, cause=f"x{number}") for number in range(CLOSINGS_KEPT))
    closings.note(others, at(6))
    assert not closings.open_at(gone, at(4))
    assert closings.open_at(gone, at(1))
