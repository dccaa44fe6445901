"""The engine with two small rules of its own, on real flows."""

import numpy as np

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    IN_NFT,
    NETFILTER,
    THERE,
    VIP,
    Story,
    cluster,
    node_state,
    service,
)
from tracer.diagnosis import engine as engine_module
from tracer.diagnosis.causes.endpoints import NO_ENDPOINTS
from tracer.diagnosis.causes.fallbacks import UNANSWERED_UNEXPLAINED
from tracer.diagnosis.engine import Diagnosis
from tracer.diagnosis.finding import Subject
from tracer.diagnosis.rule import Rules
from tracer.diagnosis.subjects import flow_finding
from tracer.events import Hook, TcpFlag


class Blames:
    """Explains rows asking for one port; remembers what it was shown."""

    def __init__(self, cause, port):
        self.cause, self.name, self.port = cause, cause.id, port
        self.shown = []
        self.true = True

    def check(self, scene, rows):
        flows = scene.table.flows
        self.shown.append(sorted(flows["virtual_port"][rows].tolist()))
        mine = rows[np.isin(flows["virtual_port"][rows], self.port)]
        if mine.size:
            yield (
                flow_finding(
                    scene, self.cause, Subject(self.name), mine,
                    confidence=1.0, summary="", evidence=(), remedy=(),
                ),
                mine,
            )  # fmt: skip

    def holds(self, scene, finding):
        return self.true


def told(first, second, *records, wait=4):
    story = Story()
    story.pipeline._diagnosis = Diagnosis(Rules(flow=(first, second)))
    story.tell(*records)
    story.wait(wait)
    return story


def asks(number, port=80, seconds=1):
    return packet(seconds, f"10.0.0.1:{1000 + number}", f"10.0.0.2:{port}", "S")


def answers(number, port=80, seconds=9):
    return packet(seconds, f"10.0.0.2:{port}", f"10.0.0.1:{1000 + number}", "SA")


def pair(first_port=(80,), second_port=(80, 81)):
    return Blames(NO_ENDPOINTS, first_port), Blames(UNANSWERED_UNEXPLAINED, second_port)


def test_what_an_earlier_rule_explains_a_later_one_does_not_see():
    first, second = pair()
    story = told(first, second, asks(0, 80), asks(1, 81))
    assert first.shown == [[80, 81]]
    assert second.shown == [[81]]
    assert sorted(story.causes) == sorted([first.name, second.name])


def test_a_row_is_judged_once_per_state_of_evidence():
    first, second = pair((), ())
    story = told(first, second, asks(0))
    story.wait(5)
    story.wait(5)
    assert len(first.shown) == 1
    story.tell(asks(0, seconds=15))
    assert len(first.shown) == 2


def test_healthy_rows_are_shown_to_nobody():
    first, second = pair()
    told(first, second, asks(0), answers(0, seconds=1))
    assert first.shown == second.shown == []


def test_an_explained_row_that_is_answered_leaves_its_finding():
    first, second = pair()
    story = told(first, second, asks(0), asks(1))
    assert story.only.count == 2
    story.tell(answers(0))
    assert story.only.count == 1
    story.tell(answers(1, seconds=10))
    assert story.closed == [first.name]


def test_a_named_cause_is_not_questioned_by_later_evidence():
    first, second = pair()
    story = told(first, second, asks(0))
    first.true = False
    story.wait(5)
    assert story.found == []
    first.port = ()
    story.tell(asks(0, seconds=20))
    story.wait(5)
    assert story.found == []


def test_a_fallback_gives_way_when_the_cluster_explains_more():
    first, second = pair(first_port=())
    story = told(first, second, asks(0))
    assert story.causes == [second.name]
    first.port = (80,)
    update = story.cluster(cluster(service()))
    assert [finding.cause for finding in update.opened] == [first.name]
    assert story.pipeline.findings.counts() == {first.name: 1}


def test_old_losses_are_not_seen_in_the_light_of_a_later_cluster():
    first, second = pair(first_port=())
    story = told(first, second, asks(0))
    story.cluster(cluster(service()))
    story.wait(120)
    first.port = (80,)
    story.cluster(cluster(service("other")))
    assert story.causes == [second.name]


def test_the_whole_table_is_looked_over_a_few_times_a_second_only():
    first, second = pair((), ())
    story = told(first, second, asks(0), wait=2.9)
    story.wait(0.11)
    assert first.shown == []
    story.wait(engine_module.DUE_EVERY_NS / 1e9)
    assert len(first.shown) == 1


def test_a_row_number_used_again_starts_unjudged():
    first, second = pair()
    story = told(first, second, asks(0))
    row = story.pipeline.table.alive()
    story.pipeline.table._store.remove(row)
    story.tell(asks(5, seconds=10))
    flows = story.pipeline.table.flows
    assert flows["explained"][row].tolist() == [0]
    story.wait(4)
    assert story.only.count == 2


def test_the_same_input_gives_the_same_findings():
    """Whatever the seed of the table's hash."""

    def findings():
        story = Story(cluster(service(), endpoints=[THERE]), node_state())
        drops = [
            record(
                Hook.DROP, 1, f"{CLIENT_POD}:{40000 + number}", f"{VIP}:80",
                tcp_flags=TcpFlag.SYN, reason=NETFILTER, detail=IN_NFT,
            )
            for number in range(20)
        ]  # fmt: skip
        story.tell(*drops)
        story.wait(4)
        return story.found

    assert findings() == findings()
