from __future__ import annotations

from dataclasses import replace

from tests.builders import at
from tests.tracer.shown import answer, blackhole, connect, end, passing, traced, untranslated
from tracer.diagnosis.finding import Severity
from tracer.filters import parse
from tracer.naming import naming_of
from tracer.pipeline import Pipeline, Update
from tracer.sinks.due import PATIENCE_NS, DueFindings, DueFlows


def ids(due: DueFlows, pipeline: Pipeline, update: Update) -> list[int]:
    flows = pipeline.table.flows
    return flows["id"][due.take(flows, update.changed, naming_of(pipeline))].tolist()


def left(due: DueFlows, pipeline: Pipeline) -> list[int]:
    flows = pipeline.table.flows
    return flows["id"][due.rest(flows, pipeline.table.alive(), naming_of(pipeline))].tolist()


def test_a_flow_is_due_once_when_it_is_answered():
    due, pipeline = DueFlows(), traced()
    assert ids(due, pipeline, connect(pipeline, 1.0)) == []
    assert ids(due, pipeline, answer(pipeline, 1.1)) == [1]
    assert ids(due, pipeline, end(pipeline, 5.0)) == []
    assert left(due, pipeline) == []


def test_a_flow_without_an_answer_is_due_after_a_second_of_record_time():
    due, pipeline = DueFlows(), traced()
    assert ids(due, pipeline, connect(pipeline, 1.0)) == []
    assert ids(due, pipeline, passing(pipeline, 1.9)) == []
    assert ids(due, pipeline, passing(pipeline, 2.0)) == [1]
    assert ids(due, pipeline, answer(pipeline, 2.1)) == []


def test_a_flow_to_a_departed_backend_waits_for_news_of_its_return():
    due, pipeline = DueFlows(), traced()
    connect(pipeline, 1.0)
    update = answer(pipeline, 1.1)
    flows, naming = pipeline.table.flows, naming_of(pipeline)
    gone = replace(naming, departed_s=lambda flows: [5.0] * len(flows))
    assert due.take(flows, update.changed, gone).size == 0
    assert due.take(flows, update.changed[:0], naming).size == 1
    assert left(due, pipeline) == []
    connect(pipeline, 2.0, port=40600)
    update = answer(pipeline, 2.1, port=40600)
    assert due.take(flows, update.changed, gone).size == 0
    waited = replace(gone, now_ns=naming_of(pipeline).now_ns + PATIENCE_NS)
    assert due.take(flows, update.changed[:0], waited).size == 1


def test_a_settled_flow_waits_for_the_slowest_source():
    due, pipeline = DueFlows(), traced()
    connect(pipeline, 1.0)
    update = answer(pipeline, 1.1)
    flows, naming = pipeline.table.flows, naming_of(pipeline)
    behind = replace(naming, now_ns=int(flows["last_ns"].max()) - 1)
    assert due.take(flows, update.changed, behind).size == 0
    assert due.take(flows, update.changed[:0], naming).size == 1


def test_the_end_of_the_input_makes_the_rest_due():
    due, pipeline = DueFlows(), traced()
    connect(pipeline, 1.0, count=3)
    assert ids(due, pipeline, answer(pipeline, 1.1)) == [1]
    assert sorted(left(due, pipeline)) == [2, 3]


def test_every_one_of_many_connections_is_due_exactly_once():
    due, pipeline = DueFlows(), traced()
    seen = ids(due, pipeline, connect(pipeline, 1.0, count=997))
    seen += ids(due, pipeline, answer(pipeline, 1.2, port=40500))
    seen += ids(due, pipeline, passing(pipeline, 2.5))
    seen += ids(due, pipeline, end(pipeline, 3.0))
    seen += left(due, pipeline)
    assert sorted(seen) == list(range(1, 998))


def test_with_updates_every_change_is_due_and_the_living_are_due_at_the_end():
    due, pipeline = DueFlows(updates=True), traced()
    assert ids(due, pipeline, connect(pipeline, 1.0, count=2)) == [1, 2]
    assert ids(due, pipeline, answer(pipeline, 1.1)) == [1]
    assert ids(due, pipeline, end(pipeline, 1.2)) == [1]
    assert left(due, pipeline) == [2]


def test_untranslated_flows_are_due_only_if_all_are_wanted():
    for wanted in (False, True):
        pipeline = traced()
        due = DueFlows(all_flows=wanted)
        assert bool(ids(due, pipeline, untranslated(pipeline, 1.0))) is wanted


def test_no_flow_is_due_where_none_is_wanted():
    due, pipeline = DueFlows(none=True), traced()
    assert ids(due, pipeline, connect(pipeline, 1.0)) == []
    assert ids(due, pipeline, answer(pipeline, 1.1)) == []
    assert left(due, pipeline) == []


def test_a_filter_chooses():
    pipeline = traced()
    due = DueFlows(chosen=parse("port=40001"))
    update = connect(pipeline, 1.0, count=3, flags=2)
    flows = pipeline.table.flows
    rows = due.take(flows, update.changed, naming_of(pipeline))
    assert flows["client_port"][rows].tolist() == [40001]


def test_a_finding_is_told_when_it_opens_and_when_it_closes():
    due, found = DueFindings(), blackhole()
    assert due.take((found,), at(0)) == [found]
    closed = replace(found, open=False)
    assert due.take((closed,), at(0.1)) == [closed]
    assert due.rest() == []


def test_news_of_a_finding_wait_for_a_second():
    due, found = DueFindings(), blackhole()
    due.take((found,), at(0))
    worse = [replace(found, count=2**place) for place in range(1, 5)]
    assert due.take((worse[0],), at(0.2)) == []
    assert due.take((worse[1],), at(0.9)) == []
    assert due.take((), at(1.0)) == [worse[1]]
    assert due.take((worse[2],), at(1.5)) == []
    assert due.rest() == [worse[2]]


def test_what_is_no_news_is_not_told_again():
    due, found = DueFindings(), blackhole(count=10)
    due.take((found,), at(0))
    assert due.take((replace(found, count=11, last_ns=at(5)),), at(5)) == []
    assert due.take((replace(found, severity=Severity.WARNING),), at(7)) != []
    assert due.rest() == []


def test_a_finding_that_opens_again_is_told_again():
    due, found = DueFindings(), blackhole()
    due.take((found,), at(0))
    due.take((replace(found, open=False),), at(0.1))
    assert due.take((found,), at(0.2)) == [found]
