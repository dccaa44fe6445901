"""The walk against IPVS of this kernel, in short; ``make test-differential ENGINE=ipvs`` goes on."""

from __future__ import annotations

import pytest

from lab.differential.run import run_differential
from lab.differential.universe import UNIVERSES

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]


@pytest.mark.parametrize("family", UNIVERSES)
def test_the_walk_ends_as_ipvs_does(family):
    report = run_differential("ipvs", family, seed=1, count=40, seconds=50)
    assert report.differences == [], report.text()
    assert report.rulesets >= 3
    assert report.undecided * 20 < report.packets
    assert {"delivered", "local"} <= set(report.verdicts)
