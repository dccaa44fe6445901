"""Live: the fault, the finding, its remedy followed as printed, the traffic well, it closes."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest

from lab.netns import die_with_parent
from lab.remedied import ALONE, BY_HAND, HEALED, NOT_HERE, firsts, followed, healed
from lab.scenarios import BY_NAME
from tests.lab.followed import follow, kept

AT_ONCE, AT_ONCE_EMULATED = 6, 3
"""They mostly wait, for time-outs and for quiet; with probes, while another one is broken."""


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """Every incident that is asked for, some at a time, in processes of their own.

    In the VM what each left is kept where the VM's results are, as soon as it ends.
    """
    asked = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    folder = tmp_path_factory.mktemp("remedies")
    results = os.environ.get("LAB_RESULTS")
    backend = os.environ.get("LAB_BACKEND", "conntrack")
    jobs = {
        name: (name, folder / name, f"lr{os.getpid()}x{n}", backend) for n, name in enumerate(asked)
    }
    work = (kept, Path(results)) if results else (follow,)
    done = {name: finished(*work, *jobs[name]) for name in asked if name in ALONE}
    fork = multiprocessing.get_context("fork")
    at_once = AT_ONCE_EMULATED if results else AT_ONCE
    with ProcessPoolExecutor(at_once, fork, die_with_parent) as pool:
        yield done | {n: pool.submit(*work, *jobs[n]) for n in asked if n not in ALONE}
        pool.shutdown(cancel_futures=True)


def finished(work, *args):
    """What has run in this process, as the others are given."""
    run = Future()
    try:
        run.set_result(work(*args))
    except Exception as error:
        run.set_exception(error)
    return run


def marked(name):
    """One incident of each cause belongs to the native suite, its other modes do not."""
    if BY_NAME[name].kernel_only:
        return pytest.param(name, marks=pytest.mark.kernel_remedies)
    return pytest.param(name, marks=pytest.mark.root if name in firsts() else pytest.mark.remedies)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [marked(n) for vm in (False, True) for n in followed(vm)])
def test_the_remedy_mends_it_as_printed_and_nothing_else_was_said(name, runs, record_property):
    run = runs[name].result()
    record_property("seconds", round(run.seconds))
    record_property("followed", run.followed)
    assert run.followed
    assert set(run.found) <= set(BY_NAME[name].findings)


def test_every_incident_with_a_finding_is_followed_or_says_why_not():
    for scenario in BY_NAME.values():
        if scenario.findings:
            assert (scenario.name in NOT_HERE) != bool(healed(scenario)), scenario.name


def test_what_is_kept_is_of_incidents_that_there_are():
    causes = {cause for scenario in BY_NAME.values() for cause in scenario.findings}
    assert BY_HAND.keys() <= causes
    assert HEALED.keys() | NOT_HERE.keys() <= causes | BY_NAME.keys()
