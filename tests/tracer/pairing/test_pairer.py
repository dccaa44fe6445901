"""Each kind of translation, told by packets alone."""

import pytest

from tests.builders import START, at, join
from tests.tracer.pairing.story import back, datagram, handshake, told, told_records, way
from tracer.events import Flag, Hook, Protocol, no_records
from tracer.pairing import Pairer

CLIENT, VIP, POD, NODE = "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080", "172.18.0.2:21000"
DNS, COREDNS = "10.96.0.10:53", "10.244.1.9:53"

TRANSLATIONS = {
    "destination": ((CLIENT, VIP), (CLIENT, POD)),
    "source": ((CLIENT, "192.0.2.7:443"), (NODE, "192.0.2.7:443")),
    "source, port kept": ((CLIENT, "192.0.2.7:443"), ("172.18.0.2:40000", "192.0.2.7:443")),
    "both": ((CLIENT, VIP), (NODE, POD)),
    "both, IPv6": (("[fd00::8]:40000", "[fd00:96::a]:80"), ("[fd00::2]:21000", "[fd00::5]:8080")),
    "twice": ((CLIENT, "192.0.2.1:80"), (CLIENT, "172.18.0.3:31000"), (NODE, POD)),
}


def whole(legs):
    """First and last tuple of a chain, as the pairer tells them."""
    return (*legs[0], *legs[-1])


@pytest.mark.parametrize("legs", TRANSLATIONS.values(), ids=TRANSLATIONS)
def test_a_handshake_tells_the_translation_once(legs):
    assert told(handshake(1, *legs)) == [whole(legs)]


@pytest.mark.parametrize("legs", TRANSLATIONS.values(), ids=TRANSLATIONS)
def test_the_answer_alone_tells_it_the_right_way_round(legs):
    answer = way(1, *back(legs), tcp="SA", seq=77, ack=1001)
    assert told(answer) == [whole(legs)]


def test_a_record_says_who_when_and_how_sure():
    legs = TRANSLATIONS["both"]
    (record,) = told_records(handshake(1, *legs, isn=5, ip_id=3, cookie=9))
    assert record["hook"] == Hook.PAIRED
    assert record["flags"] == Flag.AFTER
    assert record["time_ns"] == at(1)
    assert record["seq"] == 5
    assert (record["family"], record["protocol"]) == (2, Protocol.TCP)
    assert 90 <= record["detail"] <= 99
    assert record["time_ns"] > START


def test_a_repeated_request_without_answer_is_told_once():
    legs = TRANSLATIONS["destination"]
    tries = [
        way(wait, *legs, tcp="S", seq=5, ip_id=wait + 1, cookie=wait + 1) for wait in (0, 1, 3)
    ]
    assert told(*tries) == [whole(legs)]


def test_a_connection_under_way_is_told_if_its_ports_show_who_serves():
    legs = TRANSLATIONS["both"]
    assert told(way(1, *legs, tcp="A", seq=900, ack=800, detail=50)) == [whole(legs)]
    assert told(way(1, *back(legs), tcp="A", seq=900, ack=800, detail=50)) == [whole(legs)]


def test_a_connection_under_way_between_high_ports_is_not_known():
    legs = (("10.0.0.1:41000", "10.0.0.2:42000"), ("10.0.0.1:41000", "10.0.0.3:43000"))
    assert told(way(1, *legs, tcp="A", seq=900, ack=800, detail=50)) == []


def test_what_follows_helps_where_the_handshake_was_lost_on_one_leg():
    legs = TRANSLATIONS["both"]
    syn = way(1, legs[0], tcp="S", seq=5)
    data = way(1.01, *legs, tcp="A", seq=6, ack=800, detail=50)
    assert told(join(syn, data)) == [whole(legs)]


def test_a_datagram_with_an_identification_is_enough():
    legs = ((CLIENT, DNS), (CLIENT, COREDNS))
    assert told(datagram(1, *legs, payload=11, ip_id=4)) == [whole(legs)]


def test_without_identification_question_and_answer_are_needed():
    legs = ((CLIENT, DNS), (NODE, COREDNS))
    question, answer = datagram(1, *legs, payload=11), datagram(1.01, *back(legs), payload=12)
    assert told(question) == []
    assert told(join(question, answer)) == [whole(legs)]


def test_an_unanswered_question_is_told_when_it_is_asked_again():
    legs = ((CLIENT, DNS), (CLIENT, COREDNS))
    first, again = datagram(1, *legs, payload=11), datagram(6, *legs, payload=11)
    assert told(first) == []
    assert told(first, again) == [whole(legs)]


def test_an_echo_keeps_its_payload_while_its_identifier_changes():
    legs = (("10.244.3.8:17", "192.0.2.7:17"), ("172.18.0.2:99", "192.0.2.7:99"))
    echo = {"protocol": Protocol.ICMP, "cookie": 5, "ip_id": 8}
    asked = way(1, *legs, detail=8 << 8, **echo)
    answered = way(1.01, *back(legs), detail=0, protocol=Protocol.ICMP, cookie=6)
    assert told(join(asked, answered)) == [whole(legs)]


def test_sctp_is_told_by_its_chunks():
    legs = TRANSLATIONS["destination"]
    init = way(1, *legs, protocol=Protocol.SCTP, cookie=5, detail=20, ip_id=3)
    assert told(init) == [whole(legs)]


def test_sights_in_different_batches_find_each_other():
    records = handshake(1, *TRANSLATIONS["both"])
    assert told(*(records[i : i + 1] for i in range(len(records)))) == [whole(TRANSLATIONS["both"])]


def test_sights_farther_apart_than_the_window_do_not():
    (before,), (after,) = ([leg] for leg in TRANSLATIONS["destination"])
    early = way(1, before, tcp="S", seq=5, ip_id=4)
    late = way(1.2, after, tcp="S", seq=5, ip_id=4, ttl=63)
    assert told(early, late) == []


def test_a_silent_capture_is_told_of_when_its_time_is_over():
    pairer = Pairer(seed=7)
    syn = way(1, *TRANSLATIONS["both"], tcp="S", seq=5, ip_id=4, cookie=9)
    assert not len(pairer.feed(syn))
    assert len(pairer.feed(no_records(), until_ns=at(1.2))) == 1
