from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.filters import FilterError, completions, parse

SEEN = {"service": ("default/web", "shop/web", "shop/two words"), "pod": ("shop/web-1",)}


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("", ["service=", "pod="]),
        ("ser", ["service="]),
        ("port 443 an", ["port 443 and"]),
        ("service=shop/w", ["service=shop/web"]),
        ("service=web", ["service=default/web", "service=shop/web"]),
        ("service=default/web,shop/w", ["service=default/web,shop/web"]),
        ("not (state=est", ["not (state=established"]),
        ("state!=new and engine=ip", ["state!=new and engine=ipvs"]),
        ("SERVICE=shop/tw", ['SERVICE="shop/two words"']),
        ("tc", ["tcp"]),
        ("service=none/", []),
        ("nothing=", []),
        ("tcp", []),
    ],
)
def test_what_could_follow(typed: str, first: list[str]):
    assert completions(typed, SEEN)[: len(first) or None] == first


def test_a_filter_does_not_begin_with_a_joint():
    assert completions("an", SEEN) == []
    assert completions("o", SEEN) == []


@given(st.text(max_size=30))
def test_any_text_can_be_gone_on_with_or_not(typed: str):
    assert all(isinstance(one, str) for one in completions(typed, SEEN))


@pytest.mark.parametrize("typed", ["service=w", "state=", "is=d", "kind=Node", "proto=u"])
def test_what_completion_offers_can_be_parsed(typed: str):
    for offered in completions(typed, SEEN):
        assert parse(offered).text == offered


def test_an_error_knows_its_column():
    with pytest.raises(FilterError) as caught:
        parse("tcp and foo=1")
    assert caught.value.column == 9
