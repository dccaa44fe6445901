"""Live: the fault, the finding, its remedy followed as printed, the traffic well, it closes."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from lab.netns import die_with_parent
from lab.remedied import BY_HAND, HEALED, NOT_HERE, firsts, followed, healed
from lab.scenarios import BY_NAME
from tests.lab.followed import follow

AT_ONCE = 6
"""They mostly wait, for time-outs and for quiet."""


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """Every incident that is asked for, some at a time, in processes of their own."""
    asked = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    fork = multiprocessing.get_context("fork")
    folder = tmp_path_factory.mktemp("remedies")
    with ProcessPoolExecutor(AT_ONCE, fork, die_with_parent) as pool:
        yield {
            name: pool.submit(follow, name, folder / name, f"lr{os.getpid()}x{n}", "conntrack")
            for n, name in enumerate(asked)
        }
        pool.shutdown(cancel_futures=True)


def marked(name):
    """One incident of each cause belongs to the native suite, its other modes do not."""
    return pytest.param(name, marks=pytest.mark.root if name in firsts() else pytest.mark.remedies)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [marked(name) for name in followed(kernel_only=False)])
def test_the_remedy_mends_it_as_printed_and_nothing_else_was_said(name, runs, record_property):
    run = runs[name].result()
    record_property("seconds", round(run.seconds))
    record_property("followed", run.followed)
    assert run.followed
    assert set(run.found) <= set(BY_NAME[name].findings)


def test_every_incident_with_a_finding_is_followed_or_says_why_not():
    for scenario in BY_NAME.values():
        if scenario.findings and not scenario.kernel_only:
            assert (scenario.name in NOT_HERE) != bool(healed(scenario)), scenario.name


def test_what_is_kept_is_of_incidents_that_there_are():
    causes = {cause for scenario in BY_NAME.values() for cause in scenario.findings}
    assert BY_HAND.keys() <= causes
    assert HEALED.keys() | NOT_HERE.keys() <= causes | BY_NAME.keys()
