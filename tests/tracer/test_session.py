import threading

import pytest

from tests.builders import at, batch, mapping, packet
from tracer.cluster.model import Cluster
from tracer.errors import UnableError
from tracer.events import Hook, Loss, Origin
from tracer.node.model import NodeState
from tracer.pipeline import Pipeline
from tracer.session import Session
from tracer.sources import Problem

CLIENT, VIP, POD = "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080"


class Scripted:
    """A source that reads what it is given, then says that it is finished."""

    def __init__(self, *batches, name="scripted", fails=None):
        self.name, self._batches, self._fails = name, list(batches), fails
        self.closed = 0

    def problems(self):
        return []

    def open(self):
        if isinstance(self._fails, UnableError):
            raise self._fails

    def read(self, timeout):
        if self._batches:
            return self._batches.pop(0)
        if self._fails:
            raise self._fails
        return None

    def close(self):
        self.closed += 1


class Noting:
    """A sink that keeps what it was told."""

    def __init__(self):
        self.changed, self.summaries, self.lost = 0, [], Loss()

    def write(self, pipeline, update):
        self.changed += len(update.changed)
        self.lost = update.lost

    def close(self, pipeline, summary):
        self.summaries.append(summary)


def test_several_sources_meet_in_one_row():
    kernel = Scripted(batch(mapping(1.05, CLIENT, VIP, POD), until=2))
    wire = Scripted(batch(packet(1, CLIENT, VIP, "S"), until=2, origin=Origin.PACKETS))
    sink, pipeline = Noting(), Pipeline()
    Session([kernel, wire], pipeline, [sink], live=False, summary=lambda: {"type": "summary"}).run()
    assert len(pipeline.table) == 1
    assert sink.summaries == [{"type": "summary"}]
    assert (kernel.closed, wire.closed) == (1, 1)


def test_a_source_that_cannot_open_stops_the_run_and_closes_the_others():
    first, second = Scripted(), Scripted(fails=UnableError("no", "why", "do"))
    sink = Noting()
    with pytest.raises(UnableError):
        Session([first, second], Pipeline(), [sink], live=True).run()
    assert first.closed == 1
    assert sink.summaries == []


def test_what_a_source_lacked_is_known_after_it_was_closed():
    class Lacking(Scripted):
        def problems(self):
            return [] if self.closed else [Problem("IPVS", "it is not described")]

    session = Session([Lacking()], Pipeline(), [Noting()], live=True)
    session.run()
    assert session.problems() == [Problem("IPVS", "it is not described")]


def test_a_bug_in_a_reader_is_not_swallowed():
    broken = Scripted(batch(until=1), fails=ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        Session([broken], Pipeline(), [Noting()], live=True).run()
    assert broken.closed == 1


def test_stop_ends_a_run_that_would_go_on_and_the_summary_is_written():
    class Endless(Scripted):
        def read(self, timeout):
            session.stop()
            return batch(until=1)

    sink = Noting()
    session = Session([Endless()], Pipeline(), [sink], live=True, summary=lambda: {"done": 1})
    session.run()
    assert sink.summaries == [{"done": 1}]


def test_a_changed_node_state_reaches_the_pipeline():
    class Once:
        asked = 0

        def poll(self, timeout):
            self.asked += 1
            return NodeState(node_name="w1", at_ns=at(1)) if self.asked == 1 else None

    class UntilNamed(Scripted):
        def read(self, timeout):
            return None if pipeline.node.node_name else batch(until=1)

    pipeline = Pipeline()
    Session([UntilNamed()], pipeline, [Noting()], live=True, state_readers=[Once()]).run()
    assert pipeline.node.node_name == "w1"


def test_node_and_cluster_are_followed_side_by_side():
    class Once:
        def __init__(self, state):
            self.left = [state]

        def poll(self, timeout):
            return self.left.pop() if self.left else None

    class UntilBoth(Scripted):
        def read(self, timeout):
            known = pipeline.node.node_name and pipeline.cluster.generation
            return None if known else batch(until=1)

    pipeline = Pipeline()
    readers = [
        Once(NodeState(node_name="w1", at_ns=at(1))),
        Once(Cluster(generation=3, at_ns=at(1))),
    ]
    gone = Problem("names are old", "the API server is gone")
    session = Session(
        *([UntilBoth()], pipeline, [Noting()]),
        live=True,
        state_readers=readers,
        beside=lambda: [gone],
    )
    session.run()
    assert (pipeline.node.node_name, pipeline.cluster.generation) == ("w1", 3)
    assert gone in session.problems()


def test_silence_is_checked_with_the_kernel_before_it_is_judged():
    asked = threading.Event()

    class Verifying:
        rows = ()

        def lookup(self, pipeline, rows):
            self.rows = rows.tolist()
            asked.set()
            return batch(mapping(1, CLIENT, VIP, POD, hook=Hook.CT_UPDATE, flags=2), until=4)

    class UntilAsked(Scripted):
        def read(self, timeout):
            if self._batches:
                return super().read(timeout)
            return None if asked.wait(timeout) else batch(until=3)

    verifier, pipeline = Verifying(), Pipeline()
    source = UntilAsked(batch(mapping(1, CLIENT, VIP, POD), until=3))
    Session([source], pipeline, [Noting()], live=True, verifier=verifier).run()
    pipeline.feed(batch(until=10))
    assert len(verifier.rows) == 1
    assert pipeline.findings.open() == []
