"""How far the kernel keeps behind the API, told by flows and changes of a small story."""

from dataclasses import replace

import pytest

from tests.builders import at, batch, mapping
from tests.tracer.diagnosis.story import HERE, THERE, VIP, cluster, service
from tracer.address import text
from tracer.cluster.model import ClusterChange, Turn
from tracer.lag import lags, lags_json
from tracer.pipeline import Pipeline

KEY = "default/web"


def change(seconds, turn, endpoint=THERE):
    return ClusterChange(at(seconds), turn, KEY, endpoint)


def connections(*seconds, endpoint=THERE):
    """Translated connections that began at these times."""
    where = f"{text(endpoint.ip)}:{endpoint.port}"
    return [
        mapping(second, f"10.244.0.9:{40000 + n}", f"{VIP}:80", where)
        for n, second in enumerate(seconds)
    ]


def measured(changes, flows):
    pipeline = Pipeline()
    known = replace(cluster(service(), endpoints=[HERE]), changes=tuple(changes))
    pipeline.set_cluster(known, at(0))
    if flows:
        pipeline.feed(batch(*flows, until=100))
    found = lags(pipeline.table.flows, pipeline.table.alive(), pipeline.enricher, known.changes)
    return {one["service"]: one for one in lags_json(found)}


@pytest.mark.parametrize(
    ("changes", "flows", "joined", "left"),
    [
        # A new endpoint is first used half a second later.
        ([change(10, Turn.JOINED)], connections(10.5, 11, 12), (1, 1, 0.5), (0, 0, None)),
        # Nobody has connected to it.
        ([change(10, Turn.JOINED)], [], (1, 0, None), (0, 0, None)),
        # Connections long before belong to an earlier life of the address.
        ([change(10, Turn.JOINED)], connections(2, 13), (1, 1, 3.0), (0, 0, None)),
        # kube-proxy heard of it before we did.
        ([change(10, Turn.JOINED)], connections(9.8), (1, 1, -0.2), (0, 0, None)),
        # An endpoint that has left is used for 1.2 s.
        ([change(10, Turn.LEFT)], connections(9, 10.4, 11.2), (0, 0, None), (1, 1, 1.2)),
        # Or not at all.
        ([change(10, Turn.LEFT)], connections(9), (0, 0, None), (1, 0, None)),
        # It is used again before we have heard that it is back.
        (
            [change(10, Turn.LEFT), change(20, Turn.JOINED)],
            connections(10.5, 19.8, 20.3),
            (1, 1, -0.2),
            (1, 1, 0.5),
        ),
        # It leaves and comes back: what is after that is no lag.
        (
            [change(10, Turn.LEFT), change(20, Turn.JOINED)],
            connections(10.1, 20.3),
            (1, 1, 0.3),
            (1, 1, 0.1),
        ),
    ],
)
def test_lags_are_told_by_translations(changes, flows, joined, left):
    found = measured(changes, flows)[KEY]
    assert tuple(found["joined"][name] for name in ("count", "used", "max_s")) == joined
    assert tuple(found["left"][name] for name in ("count", "late", "max_s")) == left


def test_without_changes_there_is_nothing_to_tell():
    assert measured([], connections(1)) == {}


def test_other_endpoints_do_not_count():
    found = measured([change(10, Turn.JOINED)], connections(10.5, endpoint=HERE))
    assert found[KEY]["joined"]["used"] == 0
