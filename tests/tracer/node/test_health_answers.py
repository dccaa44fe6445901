"""What a node answered to load balancers, written down and read again."""

from __future__ import annotations

import json

import pytest

from tracer.address import parse
from tracer.node import health_answers
from tracer.node.health import HealthAnswer
from tracer.node.lines import Unread

ANSWERS = (
    HealthAnswer("shop/web", 32122, parse("172.18.0.3"), 200, 2),
    HealthAnswer("shop/old", 32123, parse("fc00::3"), 503, 0),
    HealthAnswer("shop/away", 32124, parse("172.18.0.3"), why="refused"),
    HealthAnswer("shop/nowhere", 32125, b"", why="not asked"),
)


def test_answers_read_as_they_were_written():
    unread = Unread("health.json")
    assert health_answers.parse(health_answers.dump(ANSWERS), unread) == ANSWERS
    assert unread.count == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"ip": "nowhere"},
        {"port": 0},
        {"port": True},
        {"status": "200"},
        {"localEndpoints": 10**9},
        {"why": "[bold]because[/]"},
    ],
)
def test_what_is_no_answer_is_named_and_the_others_are_kept(wrong):
    first, *others = json.loads(health_answers.dump(ANSWERS))
    unread = Unread("health.json")
    found = health_answers.parse(json.dumps([first | wrong, *others]), unread)
    assert found == ANSWERS[1:]
    (said,) = unread.listed()
    assert said.startswith("health.json:1: not an answer on a health check node port")
