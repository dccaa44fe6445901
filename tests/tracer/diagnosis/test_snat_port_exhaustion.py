from tests.builders import mapping, packet, record
from tests.tracer.diagnosis.story import (
    CLIENT,
    MASTER_1,
    POD_THERE,
    THERE,
    Story,
    asked_in_vain,
    cluster,
    handshake,
    node_state,
    service,
    translated,
    words,
)
from tracer.events import Hook, TcpFlag

CAUSE = "snat-port-exhaustion"
ASK = f"{CLIENT}:40000", f"{MASTER_1}:30080"
KNOWN = cluster(service(), endpoints=[THERE])


def clash(seconds, hook=Hook.CT_FAILED):
    return record(hook, seconds, *ASK, tcp_flags=TcpFlag.SYN)


def story_of(*records):
    story = Story(KNOWN, node_state())
    story.tell(*records)
    return story


def test_a_mapping_that_fails_at_every_repetition_is_named():
    story = story_of(*asked_in_vain(1, *ASK), clash(1), clash(2), clash(4))
    story.wait(1)
    assert (story.only.cause, story.only.subject.service) == (CAUSE, "default/web")


def test_one_failure_says_nothing_yet():
    story = story_of(*asked_in_vain(1, *ASK, times=1), clash(1))
    assert story.found == []


def test_a_repetition_that_gets_through_is_no_fault():
    story = story_of(*asked_in_vain(1, *ASK, times=2), clash(1), translated(2, *ASK))
    story.tell(packet(2.1, *ASK[::-1], "SA"))
    story.wait(5)
    assert story.found == []


def test_a_full_table_and_ipvs_are_other_matters():
    for hook in (Hook.CT_FULL, Hook.IPVS_FAILED):
        story = story_of(*asked_in_vain(1, *ASK), clash(1, hook), clash(2, hook))
        story.wait(1)
        assert CAUSE not in story.causes


def test_it_closes_when_connections_get_through_again():
    story = story_of(*asked_in_vain(1, *ASK), clash(1), clash(2))
    story.wait(1)
    other = f"{CLIENT}:41000"
    story.tell(translated(20, other, ASK[1]), *handshake(20, other, ASK[1]))
    story.wait(1)
    assert story.closed == [CAUSE]


def holding(seconds):
    """An older connection whose source port is the only one."""
    taken = f"{MASTER_1}:40000"
    return mapping(seconds, f"{CLIENT}:39999", ASK[1], f"{POD_THERE}:8080", source=taken)


def refused_mapping(seconds):
    return record(Hook.CT_FAILED, seconds, *ASK, nat=(f"{MASTER_1}:40000", f"{POD_THERE}:8080"))


def test_a_port_that_an_older_connection_has_says_it_at_once():
    story = story_of(holding(1), *asked_in_vain(5, *ASK, times=1), refused_mapping(5))
    assert story.only.cause == CAUSE
    assert f"{MASTER_1}:40000, its source" in words(story.only)
    assert "conntrack -L --reply-src" in words(story.only)


def test_a_port_that_another_took_at_the_same_moment_is_a_race():
    story = story_of(holding(4.95), *asked_in_vain(5, *ASK, times=1), refused_mapping(5))
    assert story.found == []
