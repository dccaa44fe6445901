"""Captures whose truth is known: nothing false is told, and almost all that was captured."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.captures import batches, records_of, write
from bench.pairing import CASES, case, paired, score
from bench.traffic import ANSWERED, Recipe, traffic
from tracer.events import Origin, stacked
from tracer.flow import Seen
from tracer.flows import FlowTable
from tracer.pairing import Pairer
from tracer.sources.capture import CaptureSource

SMALL = Recipe(connections=400, seconds=0.5)


@pytest.mark.parametrize("name", CASES)
def test_no_capture_leads_to_a_false_translation(name):
    made = traffic(case(SMALL, CASES[name]))
    result = score(made, paired(records_of(made), seed=1))
    assert result.told == result.right
    assert result.recall >= (0.99 if name == "complete" else 0.6)


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
        alike=shares,
        lost=st.sampled_from([0.0, 0.1, 0.5]),
        skew_ns=st.sampled_from([0, 10_000_000]),
        jitter_ns=st.sampled_from([0, 5_000_000]),
    ),
    batch=st.sampled_from([97, 1000, 100_000]),
)
def test_whatever_the_traffic_what_is_told_is_true(recipe, batch):
    made = traffic(recipe)
    result = score(made, paired(records_of(made), batch, seed=1))
    assert result.told == result.right


def test_a_capture_written_to_a_file_tells_the_same(tmp_path):
    made = traffic(SMALL)
    write(tmp_path / "made.pcapng", made)
    source = CaptureSource([tmp_path / "made.pcapng"])
    source.open()
    batches = list(iter(lambda: source.read(0), None))
    source.close()
    records = stacked([batch.records for batch in batches])
    assert np.load(tmp_path / "made.npy").tobytes() == made.flows.tobytes()
    assert score(made, paired(records, seed=1)) == score(made, paired(records_of(made), seed=1))


@pytest.mark.parametrize(
    ("changes", "size", "late"),
    [({}, 500, 0), ({}, 1 << 16, 0), ({"reused": 0.8}, 500, 0), ({"reused": 0.8}, 1 << 16, 5)],
    ids=["once", "once, in one batch", "ports used again", "in the same batch"],
)
def test_the_flow_table_ends_up_with_the_truth(changes, size, late):
    made = traffic(case(SMALL, changes))
    table, pairer = FlowTable(seed=1), Pairer(seed=1)
    for batch in batches(made, size):
        table.update(batch.records, Origin.PACKETS, pairer.feed(batch.records))
    table.update(pairer.finish(), Origin.PACKETS)
    rows = table.flows[table.alive()]
    whole = Seen.PAIRED | Seen.SYN | Seen.SYN_TRANSLATED | Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT
    witnessed = np.count_nonzero(rows["seen"] & whole == whole)
    there = np.count_nonzero((made.flows["fate"] == ANSWERED) & (made.flows["leg_count"] > 1))
    # What is told of an earlier connection when another batch has its ports comes too late.
    assert there - late <= witnessed <= there
