import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT,
    HERE,
    IN_TCP,
    MASTER_1,
    POD_THERE,
    THERE,
    UNSPECIFIED,
    Story,
    cluster,
    node_state,
    service,
    words,
)
from tracer.events import Flag, Hook, TcpFlag

CAUSE = "etp-local-ipvs-wrong-source"
LOCAL = service(external_policy="Local")
ENDS = f"{CLIENT}:40000", f"{MASTER_1}:30080"


def sent_on(seconds, source=ENDS[0]):
    return record(Hook.IPVS_NEW, seconds, *ENDS, nat=(source, f"{POD_THERE}:8080"), flags=Flag.IPVS)


def asked(*seconds):
    return tuple(packet(second, *ENDS, "S") for second in seconds)


def test_a_remote_pod_answering_from_its_own_address_is_explained():
    story = Story(cluster(LOCAL, endpoints=[THERE]), node_state(mode="ipvs"))
    story.tell(sent_on(1), *asked(1, 2, 4), until=5)
    finding = story.only
    assert finding.cause == CAUSE
    assert finding.confidence == 0.85
    assert "by policy (externalTrafficPolicy: Local)" in finding.summary
    assert f"{POD_THERE}:8080 on another node" in words(finding)


def test_lost_records_weaken_it():
    story = Story(cluster(LOCAL, endpoints=[THERE]), node_state(mode="ipvs"))
    story.tell(sent_on(1), *asked(1, 2, 4), until=5, lost=1)
    assert story.only.confidence == pytest.approx(0.34)


@pytest.mark.parametrize(
    ("known", "source"),
    [
        (cluster(service(), endpoints=[THERE]), ENDS[0]),
        (cluster(LOCAL, endpoints=[HERE, THERE]), ENDS[0]),
        (cluster(LOCAL, endpoints=[THERE]), f"{MASTER_1}:61000"),
    ],
    ids=["policy Cluster", "endpoint here", "masqueraded"],
)
def test_other_silence_is_something_else(known, source):
    story = Story(known, node_state(mode="ipvs"))
    story.tell(sent_on(1, source), *asked(1, 2, 4), until=5)
    assert CAUSE not in story.causes


def test_an_answered_flow_is_none():
    story = Story(cluster(LOCAL, endpoints=[THERE]), node_state(mode="ipvs"))
    story.tell(sent_on(1), *asked(1), packet(1.1, *ENDS[::-1], "SA"), until=9)
    assert story.found == []


def test_it_closes_when_the_policy_changes():
    story = Story(cluster(LOCAL, endpoints=[THERE]), node_state(mode="ipvs"))
    story.tell(sent_on(1), *asked(1, 2, 4), until=5)
    story.cluster(cluster(service(), endpoints=[THERE]))
    assert story.closed == [CAUSE]


def test_a_segment_tcp_discards_on_the_way_changes_nothing():
    """As recorded on 6.1: an unspecified drop is told before the translation is."""
    story = Story(cluster(LOCAL, endpoints=[THERE]), node_state(mode="ipvs"))
    discarded = record(
        Hook.DROP, 1, *ENDS, reason=UNSPECIFIED, detail=IN_TCP, tcp_flags=TcpFlag.SYN
    )
    story.tell(*asked(1), discarded)
    story.tell(sent_on(1), *asked(2, 4), until=5)
    assert story.causes == [CAUSE]
