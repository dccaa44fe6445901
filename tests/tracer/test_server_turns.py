"""How far IPVS' servers keep behind the API, told by readings of them in a small story."""

from dataclasses import replace

import pytest

from tests.builders import at
from tests.tracer.diagnosis.story import (
    HERE,
    MASTER_1,
    POD_HERE,
    POD_THERE,
    THERE,
    VIP,
    cluster,
    node_state,
    service,
)
from tracer.address import parse
from tracer.cluster.model import ClusterChange, Turn
from tracer.lag import lags, lags_json
from tracer.node.model import VirtualServer
from tracer.pipeline import Pipeline
from tracer.sinks.text import summary_lines

KEY, FOREIGN = "default/web", "10.200.9.9"
NONE = {"count": 0, "seen": 0, "median_s": None, "max_s": None}


def servers(weights, ip=VIP, port=80):
    """A virtual server with these pods, ``"HERE THERE:0"`` giving the second no weight."""
    pods = {"HERE": POD_HERE, "THERE": POD_THERE}
    words = [word.partition(":") for word in weights.split()]
    backends = tuple((parse(pods[name]), 8080, int(weight or 1)) for name, _, weight in words)
    return VirtualServer(6, parse(ip), port, "rr", backends)


def measured(changes, readings):
    """The lag after these readings, (second, servers); None: they could not be read."""
    pipeline = Pipeline()
    known = replace(cluster(service(), endpoints=[HERE, THERE]), changes=tuple(changes))
    pipeline.set_cluster(known, at(0))
    for second, found in readings:
        node = replace(node_state(VIP, mode="ipvs"), at_ns=at(second))
        if found is not None:
            node = replace(node, virtual_servers=found, known=node.known | {"virtual_servers"})
        pipeline.set_node(node, at(second))
    table = pipeline.table
    found = lags(table.flows, table.alive(), pipeline.enricher, known.changes, pipeline.servers)
    return list(lags_json(found))


def change(second, turn, endpoint=THERE):
    return ClusterChange(at(second), turn, KEY, endpoint)


def said(*seconds, count=1):
    return {
        "count": count,
        "seen": len(seconds),
        "median_s": seconds[len(seconds) // 2] if seconds else None,
        "max_s": seconds[-1] if seconds else None,
    }


BOTH, ONE = (servers("HERE THERE"),), (servers("HERE"),)
JOINED, LEFT = change(10, Turn.JOINED), change(10, Turn.LEFT)


@pytest.mark.parametrize(
    ("changes", "readings", "joined", "left"),
    [
        # A new endpoint is in the virtual server at the second reading after the change.
        ([JOINED], [(9, ONE), (10.5, ONE), (11.5, BOTH)], said(1.5), NONE),
        # kube-proxy heard of it before we did.
        ([JOINED], [(9, ONE), (9.6, BOTH)], said(-0.4), NONE),
        # It is never programmed, though others of the server change.
        ([JOINED], [(9, ONE), (11, (servers(""),))], said(), NONE),
        # Weight 0 is no use of it yet.
        ([JOINED], [(9, ONE), (11, (servers("HERE THERE:0"),)), (12, BOTH)], said(2.0), NONE),
        # A departed one gets weight 0, and goes for good later.
        ([LEFT], [(9, BOTH), (11, (servers("HERE THERE:0"),)), (70, ONE)], NONE, said(1.0)),
        # Or the whole server goes.
        ([LEFT], [(9, BOTH), (12, ())], NONE, said(2.0)),
        # Back before IPVS noticed.
        ([LEFT, change(10.4, Turn.JOINED)], [(9, BOTH), (12, BOTH)], said(), said()),
        # Away and back again, each with its own lag.
        (
            [LEFT, change(20, Turn.JOINED)],
            [(9, BOTH), (10.5, ONE), (20.8, BOTH)],
            said(0.8),
            said(0.5),
        ),
        # Node ports are the Service's too; the first of its servers counts.
        (
            [JOINED],
            [
                (9, (*ONE, servers("HERE", MASTER_1, 30080))),
                (11, (*ONE, servers("HERE THERE", MASTER_1, 30080))),
                (12, (*BOTH, servers("HERE THERE", MASTER_1, 30080))),
            ],
            said(1.0),
            NONE,
        ),
        # Another address with the same pods tells nothing.
        (
            [JOINED],
            [(9, ()), (11, (servers("HERE THERE", FOREIGN),))],
            said(),
            NONE,
        ),
    ],
)
def test_servers_tell_when_they_followed(changes, readings, joined, left):
    (lag,) = measured(changes, readings)
    assert lag["ipvs"] == {"joined": joined, "left": left}


@pytest.mark.parametrize(
    "readings",
    [
        [],
        # One reading shows no change.
        [(11, BOTH)],
        # What happened while the servers could not be read cannot be dated.
        [(9, ONE), (10, None), (12, BOTH)][1:],
        # There is no IPVS.
        [(9, ()), (12, ())],
    ],
)
def test_without_two_readings_nothing_is_said_of_servers(readings):
    (lag,) = measured([JOINED], readings)
    assert "ipvs" not in lag


def test_a_gap_in_the_readings_is_no_lag():
    (lag,) = measured([JOINED], [(8, ONE), (9, ONE), (10, None), (60, BOTH), (61, BOTH)])
    assert lag["ipvs"]["joined"] == said()


def test_the_summary_says_it_in_words():
    (lag,) = measured([LEFT, change(20, Turn.JOINED)], [(9, BOTH), (10.5, ONE), (20.8, BOTH)])
    (line,) = [line for line in summary_lines({"lag": [lag]}) if line.startswith("Lag")]
    assert line == (
        "Lag of default/web: 0 of 1 new endpoints used; 0 of 1 departed ones still used; "
        "IPVS took up 1 of 1, the slowest after 0.8 s; "
        "IPVS let go of 1 of 1, the slowest after 0.5 s"
    )
