from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import at, batch
from tests.tracer.shown import answer, connect, passing, refuse, traced, untranslated
from tracer.columns import SCREEN_COLUMNS
from tracer.events import Loss
from tracer.tui.widgets.detail_pane import describe
from tracer.view import Snapshot, View, ViewQuery

NAMES = [column.name for column in SCREEN_COLUMNS]
CLIENT, CAUSE = NAMES.index("client"), NAMES.index("cause")


def ports(shot: Snapshot) -> list[int]:
    return [int(row[CLIENT].rpartition(":")[2]) for row in shot.sheet.cells]


def test_the_newest_flows_are_on_top():
    pipeline, view = traced(), View()
    connect(pipeline, 1.0, port=1)
    connect(pipeline, 2.0, port=2)
    assert ports(view.answer(pipeline, ViewQuery())) == [2, 1]
    assert ports(view.answer(pipeline, ViewQuery(descending=True))) == [1, 2]


def test_a_window_has_texts_for_its_rows_only():
    pipeline = traced()
    connect(pipeline, 1.0, count=100, port=1)
    shot = View().answer(pipeline, ViewQuery(order="client", start=10, height=5))
    assert ports(shot) == [11, 12, 13, 14, 15]
    assert (shot.sheet.start, shot.sheet.count, shot.total, len(shot.sheet.ids)) == (
        10,
        100,
        100,
        5,
    )


def test_a_window_past_the_end_moves_back():
    pipeline = traced()
    connect(pipeline, 1.0, count=8, port=1)
    shot = View().answer(pipeline, ViewQuery(order="client", start=50, height=5))
    assert (shot.sheet.start, ports(shot)) == (3, [4, 5, 6, 7, 8])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from(["client", "state", "age"]),
)
def test_windows_are_cut_from_one_order(start: int, height: int, descending: bool, order: str):
    pipeline, view = traced(), View()
    connect(pipeline, 1.0, count=50, port=1)
    answer(pipeline, 1.5, port=7)
    whole = view.answer(pipeline, ViewQuery(order=order, descending=descending, height=50))
    part = view.answer(
        pipeline, ViewQuery(order=order, descending=descending, start=start, height=height)
    )
    assert part.sheet.ids == whole.sheet.ids[part.sheet.start : part.sheet.start + height]
    chosen = view.answer(
        pipeline, ViewQuery(order=order, descending=descending, selected=part.sheet.ids[0])
    )
    assert chosen.sheet.selected_at == part.sheet.start


def test_a_filter_chooses_and_a_wrong_one_is_told():
    pipeline, view = traced(), View()
    connect(pipeline, 1.0, count=3, port=1)
    shot = view.answer(pipeline, ViewQuery(filter="port=2"))
    assert (ports(shot), shot.sheet.count, shot.total, shot.error) == ([2], 1, 3, "")
    wrong = view.answer(pipeline, ViewQuery(filter="port="))
    assert (wrong.sheet.count, bool(wrong.error)) == (3, True)


def test_untranslated_flows_are_shown_if_wanted():
    pipeline, view = traced(), View()
    untranslated(pipeline, 1.0)
    assert view.answer(pipeline, ViewQuery()).total == 0
    assert view.answer(pipeline, ViewQuery(all_flows=True)).total == 1


def test_frozen_flows_stand_still_while_capturing_goes_on():
    pipeline, view = traced(), View()
    connect(pipeline, 1.0)
    frozen = ViewQuery(frozen=True)
    before = view.answer(pipeline, frozen)
    connect(pipeline, 2.0, port=50000)
    after = view.answer(pipeline, frozen)
    assert after.sheet.cells == before.sheet.cells
    assert after.events == 2
    assert view.answer(pipeline, ViewQuery()).sheet.count == 2


def test_the_selected_flow_is_described():
    pipeline = traced()
    connect(pipeline, 1.0)
    answer(pipeline, 1.25)
    detail = View().answer(pipeline, ViewQuery(selected=1)).detail
    assert detail is not None
    facts = dict(detail.facts)
    assert detail.title == "tcp 10.244.3.8:40000 → 10.96.0.10:80 shop/web:http (ClusterIP)"
    assert facts["Backend"] == "10.244.1.5:8080 (shop/web-1)"
    assert facts["…translated"] == "10.244.3.8:40000 → 10.244.1.5:8080"
    assert facts["…translated back"] == "10.96.0.10:80 → 10.244.3.8:40000"
    assert facts["State"] == "answered, by ipvs"
    assert "conntrack saw a reply" in facts["Seen"]


def test_a_flow_that_is_gone_has_no_details():
    shot = View().answer(traced(), ViewQuery(selected=99))
    assert (shot.detail, shot.sheet.selected_at) == (None, -1)


def test_rates_are_those_of_record_time():
    pipeline, view = traced(), View()
    view.answer(pipeline, ViewQuery())
    connect(pipeline, 2.0, count=10)
    assert view.answer(pipeline, ViewQuery()).event_rate == 5.0
    passing(pipeline, 10.0)
    view.answer(pipeline, ViewQuery())
    passing(pipeline, 12.0)
    assert view.answer(pipeline, ViewQuery()).event_rate == 0.0


def test_losses_and_what_the_session_knows_are_passed_on():
    pipeline = traced()
    pipeline.feed(batch(until=1.0, lost=Loss(kernel=7), damaged=2))
    shot = View().answer(pipeline, ViewQuery(), "bpf", ("no packets",))
    assert (shot.lost, shot.damaged, shot.backend, shot.degraded) == (
        Loss(kernel=7),
        2,
        "bpf",
        ("no packets",),
    )
    assert (shot.node, shot.proxy_mode, shot.now_ns) == ("worker-1", "ipvs", at(1))


def test_an_unknown_order_falls_back_to_age():
    pipeline = traced()
    connect(pipeline, 1.0, count=3)
    query = replace(ViewQuery(), order="kind")
    assert len(View().answer(pipeline, query).sheet.ids) == 3


def test_the_finding_that_explains_a_flow_is_shown_with_it_and_can_be_asked_for():
    pipeline, view = traced(), View()
    connect(pipeline, 1.0, count=2)
    refuse(pipeline, 1.1, port=40001)
    passing(pipeline, 5.0)
    shot = view.answer(pipeline, ViewQuery(filter="cause=refused-by-backend"))
    assert (ports(shot), shot.sheet.cells[0][CAUSE]) == ([40001], "refused-by-backend")
    detail = view.answer(pipeline, ViewQuery(selected=shot.sheet.ids[0])).detail
    assert detail is not None
    assert detail.findings[0].cause == "refused-by-backend"
    assert view.answer(pipeline, ViewQuery(filter="cause=other")).sheet.count == 0


def test_what_befalls_others_of_its_service_is_no_finding_about_a_flow():
    pipeline, view = traced(), View()
    connect(pipeline, 1.0, count=2)
    refuse(pipeline, 1.1, port=40001)
    passing(pipeline, 5.0)
    shot = view.answer(pipeline, ViewQuery())
    well = next(row for row, port in zip(shot.sheet.ids, ports(shot), strict=True) if port == 40000)
    detail = view.answer(pipeline, ViewQuery(selected=well)).detail
    assert detail is not None
    assert detail.findings == ()
    assert [finding.cause for finding in detail.beside] == ["refused-by-backend"]
    told = describe(detail).plain
    assert "WARNING" not in told
    assert "Others there: the backend" in told
    assert "What to do about refused-by-backend" in told
