from dataclasses import replace

from tests.builders import packet
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    HERE,
    MASTER_2,
    POD_HERE,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    endpoint,
    handshake,
    node_state,
    refused_by,
    service,
    translated,
    words,
)
from tracer.address import parse

CAUSE = "wrong-target-port"
SERVER = f"{VIP}:80"
BOTH = cluster(service(), endpoints=[HERE, THERE])
ONE = cluster(service(), endpoints=[THERE])


def refusal(seconds, port, pod):
    return refused_by(seconds, (f"{CLIENT_POD}:{port}", SERVER), f"{pod}:8080")


def test_every_endpoint_that_refuses_means_the_port_is_wrong():
    story = Story(BOTH, node_state())
    story.tell(*refusal(1, 40000, POD_HERE), *refusal(2, 40001, POD_THERE))
    assert story.causes == ["refused-by-backend"]  # both may have just ended
    story.wait(3)
    assert story.only.cause == CAUSE
    assert "targetPort 8080" in words(story.only)
    assert "ss -ltnu" in words(story.only)


def test_endpoints_of_the_other_family_do_not_matter():
    sixth = replace(THERE, ip=parse("fd00::5"))
    story = Story(cluster(service(), endpoints=[HERE, THERE, sixth]), node_state())
    story.tell(*refusal(1, 40000, POD_HERE), *refusal(2, 40001, POD_THERE))
    story.wait(3)
    assert story.causes == [CAUSE]


def test_one_endpoint_of_several_that_refuses_is_the_pods_affair():
    story = Story(BOTH, node_state())
    story.tell(*refusal(1, 40000, POD_HERE), *refusal(2, 40001, POD_HERE))
    story.wait(5)
    assert story.causes == ["refused-by-backend"]


def test_the_only_endpoint_may_have_just_ended():
    story = Story(ONE, node_state())
    story.tell(*refusal(1, 40000, POD_THERE))
    story.wait(5)
    assert story.causes == ["refused-by-backend"]


def test_the_only_endpoint_that_answers_on_another_port_lives():
    story = Story(ONE, node_state())
    probe = f"{CLIENT_POD}:50000", f"{POD_THERE}:9090"
    story.tell(*refusal(1, 40000, POD_THERE), *handshake(2, *probe))
    story.tell(*refusal(3, 40001, POD_THERE))
    story.wait(3)
    assert CAUSE in story.causes


def test_another_port_of_a_node_says_nothing_of_a_pod_with_its_address():
    host = endpoint(MASTER_2, "master-2")
    story = Story(cluster(service(), endpoints=[host]), node_state())
    story.tell(*refusal(1, 40000, MASTER_2))
    story.tell(*handshake(2, f"{CLIENT_POD}:50000", f"{MASTER_2}:22"))
    story.wait(5)
    assert CAUSE not in story.causes


def test_a_service_that_answered_has_the_right_port():
    story = Story(BOTH, node_state())
    fine = f"{CLIENT_POD}:45000"
    story.tell(translated(0, fine), *handshake(0, fine, SERVER))
    story.tell(*refusal(1, 40000, POD_HERE), *refusal(2, 40001, POD_THERE))
    story.wait(5)
    assert story.causes == ["refused-by-backend"]


def test_a_reset_after_the_answer_is_the_applications_affair():
    story = Story(BOTH, node_state())
    for number, pod in enumerate((POD_HERE, POD_THERE)):
        client = f"{CLIENT_POD}:{41000 + number}"
        story.tell(translated(1, client, backend=f"{pod}:8080"), *handshake(1, client, SERVER))
        story.tell(packet(2, SERVER, client, "RA", seq=1001))
    assert story.found == []


def test_it_closes_when_the_service_answers():
    story = Story(BOTH, node_state())
    story.tell(*refusal(1, 40000, POD_HERE), *refusal(2, 40001, POD_THERE))
    story.wait(5)
    other = f"{CLIENT_POD}:46000"
    story.tell(translated(20, other), *handshake(20, other, SERVER))
    story.wait(1)
    assert story.closed[-1] == CAUSE


def test_it_closes_when_the_endpoints_leave():
    story = Story(BOTH, node_state())
    story.tell(*refusal(1, 40000, POD_HERE), *refusal(2, 40001, POD_THERE))
    story.wait(5)
    story.cluster(cluster(service(), endpoints=[]))
    assert CAUSE in story.closed
