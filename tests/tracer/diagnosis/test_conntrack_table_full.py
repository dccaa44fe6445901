from tests.builders import record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    THERE,
    VIP,
    Story,
    cluster,
    handshake,
    node_state,
    service,
    translated,
    with_sysctls,
    words,
)
from tracer.events import Hook, TcpFlag

CAUSE = "conntrack-table-full"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
KNOWN = cluster(service(), endpoints=[THERE])


def state(count, limit=65536):
    return with_sysctls(
        node_state(),
        net__netfilter__nf_conntrack_count=str(count),
        net__netfilter__nf_conntrack_max=str(limit),
    )


def no_room(seconds, ends=ASK):
    return record(Hook.CT_FULL, seconds, *ends, tcp_flags=TcpFlag.SYN)


def test_an_entry_that_cannot_be_had_is_enough_at_once():
    story = Story(KNOWN, node_state())
    story.tell(no_room(1))
    assert (story.only.cause, story.only.subject.node) == (CAUSE, "master-1")


def test_many_flows_are_one_finding_of_the_node():
    story = Story(KNOWN, state(65536))
    story.tell(*(no_room(1, (f"{CLIENT_POD}:{port}", f"{VIP}:80")) for port in range(40000, 40020)))
    assert story.only.count == 20
    assert "nf_conntrack_count = 65536" in words(story.only)
    assert "nf_conntrack_max=131072" in words(story.only)


def test_the_state_alone_shows_it():
    story = Story(KNOWN, state(65536))
    assert story.causes == [CAUSE]
    story.node(state(40000))
    assert story.closed == [CAUSE]


def test_a_table_with_room_is_no_fault():
    assert Story(KNOWN, state(65000)).found == []
    assert Story(KNOWN, state("unreadable")).found == []
    assert Story(KNOWN, state(0, 0)).found == []


def test_a_clash_is_another_matter():
    story = Story(KNOWN, node_state())
    story.tell(record(Hook.CT_FAILED, 1, *ASK, tcp_flags=TcpFlag.SYN))
    story.wait(5)
    assert CAUSE not in story.causes


def test_a_repetition_that_got_through_takes_it_back():
    story = Story(KNOWN, node_state())
    story.tell(no_room(1))
    story.tell(translated(2, ASK[0]), *handshake(2, *ASK))
    assert story.found == []
    assert story.closed == [CAUSE]


def test_it_closes_when_there_is_room_again():
    story = Story(KNOWN, node_state())
    story.tell(no_room(1))
    story.node(state(1000))
    assert story.causes == [CAUSE]
    story.wait(12)
    assert story.closed == [CAUSE]


def test_no_less_is_proposed_than_kube_proxy_sets():
    assert "nf_conntrack_max=131072" in words(Story(KNOWN, state(20, 20)).only)
