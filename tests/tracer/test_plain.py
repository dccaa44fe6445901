from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tracer.plain import harmless, numbered, shortened


def test_ordinary_names_are_left_alone():
    assert harmless("kube-system/port-forward:https") == "kube-system/port-forward:https"
    assert harmless("käse → ок 漢字") == "käse → ок 漢字"


def test_what_could_act_on_a_terminal_becomes_visible():
    assert harmless("a\x1b[2Jb") == "a\\x1b[2Jb"
    assert harmless("a\u202eb\u200b\ufeff") == "a\\u202eb\\u200b\\ufeff"
    assert harmless("one\ntwo\r\u2028") == "one\\x0atwo\\x0d\\u2028"
    assert harmless("\x9b31m\U000e0041\ud800") == "\\x9b31m\\U000e0041\\ud800"


def test_letters_that_would_reorder_the_line_are_written_out():
    assert harmless("x\u05d0\u0627") == "x\\u05d0\\u0627"


@given(st.text())
def test_nothing_harmful_is_ever_left(text: str):
    shown = harmless(text)
    assert shown.isprintable()
    assert not any(
        unicodedata.bidirectional(letter) in ("R", "AL", "RLO", "LRO") for letter in shown
    )


def test_a_long_name_keeps_both_ends():
    assert shortened("web-deployment-7d4f-abcde", 11) == "web-d…abcde"
    assert shortened("short", 11) == "short"
    assert shortened("long", 1) == "…"


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_shortened_fits(text: str, width: int):
    assert len(shortened(text, width)) <= width


def test_steps_are_numbered_once_and_continue_under_their_text():
    assert numbered(["stop\nreally", "go\x1b"]) == ["1. stop", "   really", "2. go\\x1b"]
