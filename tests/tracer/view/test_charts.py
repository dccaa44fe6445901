from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracer.view.charts import bar, share_text, sparkline


def test_a_bar_is_as_long_as_its_share():
    assert [bar(share, 4) for share in (0, 0.5, 1)] == ["    ", "██  ", "████"]
    assert bar(0.0001, 4) == "▏   "


@given(st.floats(0, 1), st.integers(1, 40))
def test_a_bar_keeps_its_width(share: float, width: int):
    assert len(bar(share, width)) == width


def test_a_sparkline_has_a_character_a_value():
    assert sparkline([0, 1, 4, 8]) == " ▂▅█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def test_a_share_of_nothing_is_not_shown():
    assert share_text(1, 0) == ""
    assert share_text(1, 4, 4) == "█     25%"
