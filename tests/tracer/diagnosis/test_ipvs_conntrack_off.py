from tests.tracer.diagnosis.story import (
    CLIENT,
    MASTER_1,
    POD_THERE,
    THERE,
    Story,
    asked_in_vain,
    cluster,
    node_state,
    service,
    translated,
    with_sysctls,
    words,
)
from tracer.events import Flag, Hook

CAUSE = "ipvs-conntrack-off"
ASK = f"{CLIENT}:40000", f"{MASTER_1}:30080"
KNOWN = cluster(service(), endpoints=[THERE])
OFF = with_sysctls(node_state(mode="ipvs"), net__ipv4__vs__conntrack="0")
ON = with_sysctls(node_state(mode="ipvs"), net__ipv4__vs__conntrack="1")


def balanced(node, hook=Hook.IPVS_NEW):
    story = Story(KNOWN, node)
    made = translated(1, *ASK, f"{POD_THERE}:8080", hook=hook, flags=Flag.IPVS)
    story.tell(made, *asked_in_vain(1, *ASK))
    story.wait(1)
    return story


def test_an_outside_client_that_conntrack_does_not_know_is_named():
    story = balanced(OFF)
    assert (story.only.cause, story.only.subject.node) == (CAUSE, "master-1")
    assert "sysctl -w net.ipv4.vs.conntrack=1" in words(story.only)


def test_with_conntrack_on_it_is_another_matter():
    assert CAUSE not in balanced(ON).causes
    assert CAUSE not in balanced(node_state(mode="ipvs")).causes


def test_what_conntrack_does_know_is_another_matter():
    assert CAUSE not in balanced(OFF, Hook.CT_NEW).causes


def test_it_closes_with_the_setting():
    story = balanced(OFF)
    story.node(ON)
    assert story.closed == [CAUSE]
