import pytest

from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    HERE,
    IN_TCP,
    MASTER_1,
    NO_SOCKET,
    POD_HERE,
    POD_THERE,
    THERE,
    VIP,
    Story,
    asked_in_vain,
    cluster,
    dropped,
    handshake,
    node_state,
    service,
    translated,
    words,
)

CAUSE = "masquerade-missing"
NODE_PORT = f"{MASTER_1}:30080"
ASK = f"{CLIENT}:40000", NODE_PORT
KNOWN = cluster(service(), endpoints=[HERE, THERE])
REMOTE = f"{POD_THERE}:8080"


def sent_on(ends=ASK, backend=REMOTE, known=KNOWN, lost=0, **fields):
    story = Story(known, node_state())
    story.tell(translated(1, *ends, backend, **fields), *asked_in_vain(1, *ends), lost=lost)
    story.wait(1)
    return story


def test_an_outside_client_sent_to_another_node_with_its_own_address_is_named():
    story = sent_on()
    assert (story.only.cause, story.only.subject.node) == (CAUSE, "master-1")
    assert story.only.subject.service == "default/web"
    assert "on node worker-1" in words(story.only)


@pytest.mark.parametrize(
    "told",
    [
        {"source": f"{MASTER_1}:50000"},
        {"backend": f"{POD_HERE}:8080"},
        {"ends": (f"{CLIENT_POD}:40000", f"{VIP}:80")},
        {"ends": (f"{CLIENT}:40000", f"{VIP}:80")},
        {"known": cluster(service(external_policy="Local"), endpoints=[HERE, THERE])},
    ],
    ids=["masqueraded", "local endpoint", "pod", "ClusterIP from outside", "policy Local"],
)
def test_look_alikes_are_other_matters(told):
    assert CAUSE not in sent_on(**told).causes


@pytest.mark.parametrize(("netns", "named"), [(77, True), (0, False)])
def test_only_a_drop_on_this_node_explains_the_silence_otherwise(netns, named):
    story = Story(KNOWN, node_state())
    answer = REMOTE, ASK[0]
    rejected = dropped(1.1, answer, NO_SOCKET, IN_TCP, netns=netns, tcp_flags=18)
    story.tell(translated(1, *ASK, REMOTE), *asked_in_vain(1, *ASK), rejected)
    story.wait(1)
    assert (story.causes == [CAUSE]) is named


def test_without_knowing_which_node_this_is_nothing_is_claimed():
    story = Story(KNOWN)
    story.tell(translated(1, *ASK, REMOTE), *asked_in_vain(1, *ASK))
    story.wait(1)
    assert CAUSE not in story.causes


def test_an_answer_through_this_node_is_no_fault():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, *ASK, REMOTE), *handshake(1, *ASK))
    story.wait(5)
    assert story.found == []


def test_losses_make_silence_weaker_evidence():
    assert sent_on(lost=50).only.confidence < 0.5


def test_it_closes_when_clients_are_answered():
    story = sent_on()
    other = f"{CLIENT}:41000", NODE_PORT
    story.tell(translated(40, *other, REMOTE), *handshake(40, *other))
    story.wait(1)
    assert story.closed == [CAUSE]
