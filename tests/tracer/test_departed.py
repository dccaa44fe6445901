"""Flows to an endpoint that had left its Service's slices, told by a small story."""

from dataclasses import replace

import pytest

from tests.builders import at, batch, mapping
from tests.tracer.diagnosis.story import HERE, THERE, VIP, cluster, service
from tracer.address import text
from tracer.cluster.model import ClusterChange, Turn
from tracer.columns import BY_NAME
from tracer.detail import detail_of
from tracer.naming import naming_of
from tracer.pipeline import Pipeline

KEY = "default/web"


def left(seconds, endpoint=THERE):
    return ClusterChange(at(seconds), Turn.LEFT, endpoint.service, endpoint)


def joined(seconds, endpoint=THERE):
    return ClusterChange(at(seconds), Turn.JOINED, KEY, endpoint)


def story(*changes):
    """Connections to one endpoint at 9, 11.25 and 21 seconds, and what the slices did."""
    pipeline = Pipeline()
    pipeline.set_cluster(
        replace(cluster(service(), endpoints=[HERE, THERE]), changes=changes), at(0)
    )
    where = f"{text(THERE.ip)}:{THERE.port}"
    flows = [
        mapping(second, f"10.244.0.9:{40000 + n}", f"{VIP}:80", where)
        for n, second in enumerate((9, 11.25, 21))
    ]
    pipeline.feed(batch(*flows, until=100))
    return pipeline


def told(pipeline):
    table = pipeline.table
    flows = table.flows[table.alive()]
    return list(BY_NAME["departed_s"].json(flows, naming_of(pipeline)))


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ((), [None, None, None]),
        ((left(10),), [None, 1.25, 11.0]),
        ((left(10), joined(20)), [None, 1.25, None]),
        ((joined(8), left(20.5)), [None, None, 0.5]),
        # kube-proxy has heard of the return, we have not yet.
        ((left(10), joined(21.4)), [None, 1.25, None]),
        ((left(10, HERE),), [None, None, None]),
        ((left(10, replace(THERE, service="default/other")),), [None, None, None]),
    ],
)
def test_how_long_the_backend_had_been_gone(changes, seconds):
    assert told(story(*changes)) == seconds


def test_the_detail_says_it_in_words():
    pipeline = story(left(10))
    flows = pipeline.table.flows[pipeline.table.alive()]
    facts = [dict(detail_of(flows[n : n + 1], naming_of(pipeline), ()).facts) for n in (0, 1)]
    assert "Backend left" not in facts[0]
    assert facts[1]["Backend left"] == "its Service's slices 1.2s before this began"
