"""What a scenario asks of its traffic."""

from __future__ import annotations

import pytest

from lab.scenario import PATIENCE_S, Traffic, patient
from lab.traffic import Load

LOAD = Load("10.96.0.10", 80, tcp=1, timeout_s=3.0)


@pytest.mark.parametrize(
    ("failures", "sometimes", "timeout_s"),
    [
        ((), (), PATIENCE_S),
        (("refused",), (), PATIENCE_S),
        (("timeout",), (), 3.0),
        (("refused",), ("timeout",), 3.0),
    ],
)
def test_only_what_may_not_time_out_has_all_the_time(failures, sometimes, timeout_s):
    traffic = Traffic("shell", LOAD, frozenset(failures), sometimes=frozenset(sometimes))
    assert patient(traffic).load.timeout_s == timeout_s
    assert patient(traffic).failures == traffic.failures


def test_who_has_more_time_keeps_it():
    longer = Load("10.96.0.10", 80, tcp=1, timeout_s=60.0)
    assert patient(Traffic("shell", longer)).load.timeout_s == 60.0
