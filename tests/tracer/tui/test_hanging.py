from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from tracer.tui.hanging import Hanging, wrapped


def shown(text: str, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(Hanging(Text(text)))
    return captured.get().splitlines()


@pytest.mark.parametrize(
    ("line", "second"),
    [
        ("│   PREROUTING nat (nft): KUBE-SERVICES → KUBE-SVC-X", "    "),
        ("◆ +0.259 ms  conntrack confirmed this connection", "             "),
        ("- no packets: what may be done about it is here", "  "),
        ("1. kubectl get endpointslices -n default -o wide", "   "),
        ("   a step that goes on and on, under its number", "   "),
        ("Backend      10.244.1.11:8080 (default/echo-1)", "             "),
        ("…translated  10.244.1.11:8080 → 10.244.1.12:9090", "             "),
        ("kernel: kube-ipvs0 holds 172.18.0.12/32, and more", "        "),
        ("a plain sentence that is longer than the pane is", ""),
    ],
)
def test_what_is_wrapped_goes_on_under_its_own_text(line, second):
    lines = shown(line, 32)
    assert len(lines) == 2
    assert lines[1].startswith(second)
    assert not lines[1][len(second) :].startswith(" ")


def test_a_narrow_pane_is_not_left_blank():
    assert shown("Backend      10.244.1.11:8080", 20)[1].startswith("10.244")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80), st.integers(4, 40))
def test_nothing_is_lost(line, width):
    parts = wrapped(Console(width=width), Text(line), width)
    assert all(len(part.plain.rstrip()) <= width for part in parts)
    assert "".join("".join(part.plain for part in parts).split()) == "".join(line.split())
