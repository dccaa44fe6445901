"""Captures whose truth is known: nothing false is told, and almost all that was captured."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.captures import records_of
from bench.pairing import CASES, case, paired, score
from bench.traffic import Recipe, traffic

SMALL = Recipe(connections=400, seconds=0.5)


@pytest.mark.parametrize("name", CASES)
def test_no_capture_leads_to_a_false_translation(name):
    made = traffic(case(SMALL, CASES[name]))
    result = score(made, paired(records_of(made)))
    assert result.told == result.right
    assert result.recall >= (0.99 if name == "complete" else 0.9)


shares = st.sampled_from([0.0, 0.3, 1.0])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    recipe=st.builds(
        Recipe,
        connections=st.integers(20, 120),
        seconds=st.sampled_from([0.05, 1.0]),
        seed=st.integers(0, 1 << 32),
        source_translated=shares,
        version_6=shares,
        direct=shares,
        chained=shares,
        unanswered=shares,
        unnumbered=shares,
        untimed=shares,
        reused=st.sampled_from([0.0, 0.8]),
        duplicated=st.sampled_from([0.0, 0.5]),
        lost=st.sampled_from([0.0, 0.1, 0.5]),
        skew_ns=st.sampled_from([0, 10_000_000]),
        jitter_ns=st.sampled_from([0, 5_000_000]),
    ),
    batch=st.sampled_from([97, 1000, 100_000]),
)
def test_whatever_the_traffic_what_is_told_is_true(recipe, batch):
    made = traffic(recipe)
    result = score(made, paired(records_of(made), batch))
    assert result.told == result.right
