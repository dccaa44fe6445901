"""Translations read from packets complete the rows that packets made."""

from tests.builders import SECOND, join, mapping, packet, record
from tracer import address
from tracer.events import Hook, Origin
from tracer.flow import Seen, State
from tracer.flows import FlowTable

CLIENT, VIP, POD, NODE = "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080", "172.18.0.2:61000"
OTHER_POD, OTHER_NODE = "10.244.2.7:8080", "172.18.0.2:62000"


def paired(seconds, client=CLIENT, virtual=VIP, backend=POD, source=NODE, seq=1000):
    nat = (source, backend)
    return record(Hook.PAIRED, seconds, client, virtual, nat=nat, seq=seq, detail=97)


def fed(*batches):
    table = FlowTable(seed=1)
    for records in batches:
        table.update(records, Origin.PACKETS)
    return table


def rows_of(table):
    return table.flows[table.alive()]


def only(table):
    (flow,) = rows_of(table)
    return flow


def ends(flow):
    return [
        address.endpoint(flow[side].tobytes(), int(flow[f"{side}_port"]))
        for side in ("client", "virtual", "source", "backend")
    ]


def seen(flow):
    return Seen(int(flow["seen"]))


def connection(seconds, source=NODE, backend=POD, isn=1000):
    return join(
        packet(seconds, CLIENT, VIP, "S", seq=isn),
        packet(seconds + 0.1, source, backend, "S", seq=isn, ifindex=3),
        packet(seconds + 0.2, backend, source, "SA", seq=7, ack=isn + 1, ifindex=3),
        packet(seconds + 0.3, VIP, CLIENT, "SA", seq=7, ack=isn + 1),
    )


def test_a_pairing_after_or_with_its_packets_makes_one_row_of_two():
    for batches in (
        (connection(1), paired(1)),
        (join(paired(1), connection(1)),),
        (paired(1), connection(1)),
    ):
        flow = only(fed(*batches))
        assert ends(flow) == [CLIENT, VIP, NODE, POD]
        assert flow["state"] == State.ESTABLISHED
        assert flow["pairing"] == 97
        expected = Seen.PAIRED | Seen.TRANSLATED | Seen.SYN_TRANSLATED | Seen.ANSWER_BACKEND
        assert seen(flow) & expected == expected
        assert not seen(flow) & (Seen.MAPPED | Seen.KERNEL)


def test_pairings_told_with_packets_that_use_ports_again_are_each_of_their_own():
    """In one batch: one connection, another one on the same ports to another pod."""
    both = join(connection(1), connection(5, source=OTHER_NODE, backend=OTHER_POD, isn=9000))
    told = join(paired(1), paired(5, backend=OTHER_POD, source=OTHER_NODE, seq=9000))
    table = FlowTable(seed=1)
    table.update(both, Origin.PACKETS, told)
    first, second = sorted(rows_of(table), key=lambda flow: int(flow["first_ns"]))
    assert [ends(flow) for flow in (first, second)] == [
        [CLIENT, VIP, NODE, POD],
        [CLIENT, VIP, OTHER_NODE, OTHER_POD],
    ]
    assert second["first_ns"] - first["last_ns"] > 3 * SECOND


def test_a_pairing_told_with_its_packets_leaves_no_row_of_its_legs():
    table = FlowTable(seed=1)
    changed = table.update(connection(1), Origin.PACKETS, paired(1))
    assert len(changed) == len(table.alive()) == 1
    assert ends(only(table)) == [CLIENT, VIP, NODE, POD]


def test_what_is_told_without_packets_is_taken_too():
    table = fed(connection(1))
    table.update(connection(1)[:0], Origin.PACKETS, paired(1))
    assert ends(only(table)) == [CLIENT, VIP, NODE, POD]


def test_the_kernel_s_word_stands():
    table = fed(connection(1))
    table.update(mapping(1, CLIENT, VIP, OTHER_POD), Origin.KERNEL)
    table.update(paired(1), Origin.PACKETS)
    flow = next(flow for flow in rows_of(table) if ends(flow)[0] == CLIENT)
    assert ends(flow)[3] == OTHER_POD
    assert not seen(flow) & Seen.PAIRED


def test_the_kernel_corrects_a_pairing():
    table = fed(connection(1), paired(1))
    table.update(mapping(2, CLIENT, VIP, OTHER_POD), Origin.KERNEL)
    flow = next(flow for flow in rows_of(table) if ends(flow)[0] == CLIENT)
    assert ends(flow)[3] == OTHER_POD
    assert not seen(flow) & Seen.PAIRED
    assert flow["pairing"] == 0


def test_ports_used_again_make_a_second_row_with_its_own_evidence():
    table = fed(connection(1), paired(1), connection(9, isn=5000), paired(9, seq=5000))
    first, second = sorted(rows_of(table), key=lambda flow: flow["id"])
    assert ends(first) == ends(second) == [CLIENT, VIP, NODE, POD]
    for flow in (first, second):
        assert seen(flow) & Seen.SYN_TRANSLATED
        assert flow["state"] == State.ESTABLISHED
    assert second["request_seq"] == 5000


def test_ports_used_again_lead_to_another_backend():
    table = fed(
        connection(1),
        paired(1),
        connection(9, isn=5000, backend=OTHER_POD),
        paired(9, seq=5000, backend=OTHER_POD),
    )
    assert [ends(flow)[3] for flow in rows_of(table)] == [POD, OTHER_POD]


def test_a_pairing_of_a_connection_that_is_over_is_left_out():
    table = fed(connection(1), packet(3, CLIENT, VIP, "S", seq=5000), paired(1))
    assert not any(seen(flow) & Seen.PAIRED for flow in rows_of(table))


def test_a_tuple_with_a_translation_of_its_own_is_not_taken_away():
    """Told in two parts, a chain stays two rows: the first leads to the second."""
    middle, far = ("10.244.3.8:40000", "172.18.0.3:31000"), (NODE, POD)
    table = fed(
        paired(1, *middle, backend=far[1], source=far[0]),
        paired(1, CLIENT, VIP, backend=middle[1], source=middle[0]),
    )
    backends = {ends(flow)[1]: ends(flow)[3] for flow in rows_of(table)}
    assert backends == {"172.18.0.3:31000": POD, VIP: VIP}


def test_a_row_turned_round_by_its_first_packet_is_turned_back():
    reply = packet(1, "10.96.0.10:31000", "10.244.3.8:41000", "A", seq=5, ack=6)
    table = fed(reply, paired(2, client="10.244.3.8:41000", virtual="10.96.0.10:31000", seq=0))
    assert ends(only(table))[0] == "10.244.3.8:41000"
    assert ends(only(table))[3] == POD
