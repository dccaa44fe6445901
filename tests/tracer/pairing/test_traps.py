"""What looks like a translation and is none, and what hides one."""

import numpy as np
import pytest

from tests.builders import join, packet
from tests.tracer.pairing.story import back, datagram, handshake, told, way
from tracer.events import Flag, Protocol
from tracer.pairing import Pairer
from tracer.pairing.window import MAX_TRACES

CLIENT, VIP, POD, NODE = "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080", "172.18.0.2:21000"
OTHER_POD = "10.244.2.6:8080"
LEGS = ((CLIENT, VIP), (NODE, POD))


def test_the_same_packet_on_bridge_and_veth_is_no_translation():
    bridged = (way(1, (CLIENT, POD), tcp="S", seq=5, ifindex=point) for point in (2, 3, 4))
    routed = way(1, (CLIENT, POD), (CLIENT, POD), tcp="S", seq=5)
    assert told(join(*bridged, routed)) == []


def test_a_bridge_before_translation_does_not_hide_it():
    bridged = handshake(1, LEGS[0], LEGS[0], *LEGS[1:])
    assert told(bridged) == [(*LEGS[0], *LEGS[1])]


def test_one_question_to_two_servers_is_no_translation():
    """Both copies leave the client with the same TTL: neither was before the other."""
    two = [
        datagram(1, (CLIENT, server), (CLIENT, server), payload=11, ip_id=4)
        for server in ("10.0.0.53:53", "10.0.1.53:53")
    ]
    assert told(join(*two)) == []


def test_two_clients_that_send_the_same_bytes_are_not_one():
    beat = [
        datagram(when, (client, "10.0.0.9:8125"), payload=11, ttl=ttl)
        for when in (1, 2, 3, 4)
        for client, ttl in (("10.0.0.1:40000", 64), ("10.0.5.2:41000", 63))
    ]
    assert told(*beat) == []


def test_many_clients_with_the_same_bytes_are_told_apart_by_their_source():
    flows = [((f"10.244.3.{i}:40000", VIP), (f"10.244.3.{i}:40000", POD)) for i in range(1, 9)]
    beat = [
        datagram(1 + second, *legs, payload=second + 1) for second in range(2) for legs in flows
    ]
    assert sorted(told(join(*beat))) == sorted((*legs[0], *legs[1]) for legs in flows)


def test_with_their_source_translated_too_they_are_not_known():
    flows = [((f"10.244.3.{i}:40000", VIP), (f"172.18.0.2:{2000 + i}", POD)) for i in range(1, 9)]
    beat = [datagram(1 + second, *legs, payload=1) for second in range(5) for legs in flows]
    assert told(join(*beat)) == []


def test_an_answer_of_the_same_bytes_is_not_the_question_translated():
    legs = ((CLIENT, VIP), (CLIENT, POD))
    direct = ((CLIENT, POD),)
    for tuples in (legs, direct):
        echo = join(
            datagram(1, *tuples, payload=11),
            datagram(1.01, *back(tuples), payload=11, ttl=63),
        )
        assert all(ends[0] == CLIENT for ends in told(echo, echo))
    assert told(echo, echo) == []


def test_a_tool_that_always_begins_with_the_same_number_is_not_believed():
    clients = [f"10.0.0.{i}:{4000 + i}" for i in range(1, 7)]
    flood = [
        join(
            way(1, (client, VIP), (f"172.18.0.2:{9000 + i}", POD), tcp="S", seq=1),
        )
        for i, client in enumerate(clients)
    ]
    assert told(join(*flood)) == []


def test_ports_used_again_lead_to_the_new_backend():
    first = handshake(1, (CLIENT, VIP), (CLIENT, POD), isn=5)
    second = handshake(2, (CLIENT, VIP), (CLIENT, OTHER_POD), isn=900)
    expected = [(CLIENT, VIP, CLIENT, POD), (CLIENT, VIP, CLIENT, OTHER_POD)]
    assert told(first, second) == expected
    assert told(join(first, second)) == expected


def test_ports_used_again_within_the_window_are_told_apart():
    first = handshake(1, (CLIENT, VIP), (CLIENT, POD), isn=5)
    second = handshake(1.01, (CLIENT, VIP), (CLIENT, OTHER_POD), isn=900)
    assert len(told(join(first, second))) == 2


@pytest.mark.parametrize("skew", [-0.02, 0.02])
def test_the_ttl_shows_the_order_whatever_the_clocks_say(skew):
    records = handshake(1, *LEGS)
    records["time_ns"][records["ifindex"] == 3] += int(skew * 1e9)
    records = records[records["time_ns"].argsort()]
    assert told(records) == [(*LEGS[0], *LEGS[1])]


def level(seconds, *legs, **fields):
    """A packet whose TTL stays, as with NAT in a switch."""
    return join(
        *(
            packet(seconds + hop / 1e5, *leg, ttl=64, ifindex=2 + hop, **fields)
            for hop, leg in enumerate(legs)
        )
    )


def test_with_equal_ttls_the_clock_is_believed_if_both_directions_agree():
    there = level(1, *LEGS, tcp="S", seq=5)
    answer = level(1.01, *back(LEGS), tcp="SA", seq=70, ack=6)
    after = level(1.02, *LEGS, tcp="A", seq=6, ack=71)
    assert told(there) == []
    assert told(join(there, answer, after)) == [(*LEGS[0], *LEGS[1])]


def test_with_equal_ttls_and_clocks_apart_nothing_is_known():
    there = level(1, *LEGS, tcp="S", seq=5)
    wrong = level(1.01, *reversed(back(LEGS)), tcp="SA", seq=70, ack=6)
    after = level(1.02, *LEGS, tcp="A", seq=6, ack=71)
    assert told(join(there, wrong, after)) == []


def test_packets_that_prove_nothing_are_left_out():
    syn = {"tcp": "S", "seq": 5}
    for fields in (
        {"tcp": "R", "seq": 5},
        {**syn, "flags": Flag.QUOTED},
        {**syn, "flags": Flag.FRAGMENT},
        {**syn, "flags": Flag.SNAPPED},
        {"protocol": Protocol.ICMPV6, "detail": 135 << 8, "cookie": 4},
    ):
        assert told(way(1, *LEGS, ip_id=4, **fields)) == []


def test_a_hundred_hops_are_no_way():
    far = join(
        packet(1, *LEGS[0], "S", ttl=128, seq=5, ip_id=4),
        packet(1.001, *LEGS[1], "S", ttl=60, seq=5, ip_id=4, ifindex=3),
    )
    assert told(far) == []


def test_a_future_time_stamp_delays_no_later_translation():
    pairer = Pairer(seed=7)
    pairer.feed(packet(1e6, "10.9.9.9:1", "10.9.9.8:2", "S", seq=1))
    pairer.feed(handshake(1, *LEGS))
    assert len(pairer.feed(packet(1.2, "10.9.9.9:1", "10.9.9.8:2", "S", seq=1))) == 1


def test_time_that_stands_still_fills_no_memory():
    pairer = Pairer(seed=7)
    still = np.repeat(way(1, LEGS[0], tcp="A", seq=5, ack=6), 70_000)
    for _ in range(9):
        assert not len(pairer.feed(still))
    assert pairer.held <= 3 * MAX_TRACES


def test_a_udp_client_that_comes_back_after_silence_may_have_another_backend():
    dns = ((CLIENT, "10.96.0.10:53"), (CLIENT, "10.244.1.9:53"))
    moved = ((CLIENT, "10.96.0.10:53"), (CLIENT, "10.244.7.7:53"))
    first = datagram(1, *dns, payload=11, ip_id=4)
    second = datagram(40, *moved, payload=12, ip_id=5)
    expected = [(*dns[0], *dns[1]), (*moved[0], *moved[1])]
    assert told(first, second) == expected
    assert told(join(first, second)) == expected


def test_one_sight_left_over_is_no_way():
    three = [(f"10.0.0.{i}:40000", "10.0.0.9:8125") for i in (1, 2)]
    alike = [datagram(1, leg, payload=11) for leg in three]
    stray = datagram(1, ("10.0.0.1:40000", "10.0.0.7:8125"), payload=11)
    assert told(join(*alike, stray)) == []
