import pytest

from tests.tracer.diagnosis.story import (
    HERE,
    IN_RCV,
    MASTER_1,
    POD_HERE,
    POD_THERE,
    THERE,
    UNSPECIFIED,
    VIP,
    Story,
    asked_in_vain,
    cluster,
    dropped,
    endpoint,
    handshake,
    node_state,
    service,
    translated,
    words,
)
from tracer.address import parse
from tracer.diagnosis.causes.cause import TABLES_ANEW

CAUSE = "hairpin-no-masquerade"
ASK = f"{POD_HERE}:40000", f"{VIP}:80"
ITSELF = f"{POD_HERE}:8080"
KNOWN = cluster(service(), endpoints=[HERE, THERE])


def to_itself(seconds, **fields):
    return translated(seconds, ASK[0], backend=ITSELF, **fields)


def test_a_pod_that_is_sent_to_itself_with_its_own_address_is_named():
    story = Story(KNOWN, node_state())
    story.tell(to_itself(1), *asked_in_vain(1, *ASK))
    story.wait(1)
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(POD_HERE))
    assert f"-s {POD_HERE}" in words(story.only)


@pytest.mark.parametrize("mode", ["ipvs", "iptables", "nftables"])
def test_only_nftables_mode_needs_its_tables_anew(mode):
    """kube-proxy writes no chain of an endpoint that is there when it starts."""
    story = Story(KNOWN, node_state(mode=mode))
    story.tell(to_itself(1), *asked_in_vain(1, *ASK))
    story.wait(1)
    assert (TABLES_ANEW in story.only.remedy) == (mode == "nftables")
    assert "rollout restart daemonset kube-proxy" in story.only.remedy[-1]


def test_the_drop_inside_the_pod_is_enough_at_once():
    story = Story(KNOWN, node_state())
    back = f"{POD_HERE}:40000", ITSELF
    story.tell(to_itself(1), dropped(1, back, UNSPECIFIED, IN_RCV, netns=77))
    assert (story.only.cause, story.only.confidence) == (CAUSE, 0.95)


def test_a_masqueraded_hairpin_that_fails_is_another_matter():
    story = Story(KNOWN, node_state())
    story.tell(to_itself(1, source=f"{MASTER_1}:50000"), *asked_in_vain(1, *ASK))
    story.wait(1)
    assert CAUSE not in story.causes


def test_another_pod_that_does_not_answer_is_another_matter():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, ASK[0], backend=f"{POD_THERE}:8080"), *asked_in_vain(1, *ASK))
    story.wait(1)
    assert CAUSE not in story.causes


def test_a_node_that_asks_itself_is_another_matter():
    host = endpoint(MASTER_1, "master-1")
    story = Story(cluster(service(), endpoints=[host]), node_state())
    ask = f"{MASTER_1}:40000", ASK[1]
    story.tell(translated(1, ask[0], backend=f"{MASTER_1}:8080"), *asked_in_vain(1, *ask))
    story.wait(1)
    assert CAUSE not in story.causes


def test_a_hairpin_that_works_is_no_fault():
    story = Story(KNOWN, node_state())
    story.tell(to_itself(1), *handshake(1, *ASK))
    story.wait(5)
    assert story.found == []


def test_losses_make_silence_weaker_evidence():
    story = Story(KNOWN, node_state())
    story.tell(to_itself(1), *asked_in_vain(1, *ASK), lost=50)
    story.wait(1)
    assert story.only.confidence < 0.5


def test_it_closes_when_the_pod_reaches_itself():
    story = Story(KNOWN, node_state())
    story.tell(to_itself(1), *asked_in_vain(1, *ASK))
    story.wait(1)
    other = f"{POD_HERE}:41000"
    story.tell(translated(40, other, backend=ITSELF), *handshake(40, other, ASK[1]))
    story.wait(1)
    assert story.closed == [CAUSE]
