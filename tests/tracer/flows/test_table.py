import numpy as np
import pytest

from tests.builders import join, mapping, packet, record
from tracer import address
from tracer.events import Flag, Hook, Origin, Protocol
from tracer.flow import Engine, Seen, State
from tracer.flows import FlowTable

CLIENT, VIP, POD, NODE = "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080", "172.18.0.2:61000"


def fed(*batches):
    table = FlowTable(seed=1)
    for origin, records in batches:
        table.update(records, origin)
    return table


def only(table):
    rows = table.alive()
    assert len(rows) == 1, table.flows[rows]
    return table.flows[rows[0]]


def ends(flow):
    return [
        address.endpoint(flow[side].tobytes(), int(flow[f"{side}_port"]))
        for side in ("client", "virtual", "source", "backend")
    ]


def test_a_confirmed_mapping_is_one_translated_row():
    flow = only(fed((Origin.KERNEL, mapping(1, CLIENT, VIP, POD, source=NODE))))
    assert ends(flow) == [CLIENT, VIP, NODE, POD]
    assert flow["seen"] & Seen.TRANSLATED
    assert flow["state"] == State.NEW


STORY = [
    (Origin.PACKETS, packet(1.0, CLIENT, VIP, "S")),
    (Origin.KERNEL, record(Hook.IPVS_NEW, 1.1, CLIENT, VIP, nat=(CLIENT, POD), flags=Flag.IPVS)),
    (Origin.KERNEL, mapping(1.2, CLIENT, VIP, POD, source=NODE, flags=Flag.SRC_NAT)),
    (Origin.PACKETS, packet(1.3, NODE, POD, "S", ifindex=3)),
    (Origin.PACKETS, packet(1.4, POD, NODE, "SA", ifindex=3)),
    (Origin.PACKETS, packet(1.5, VIP, CLIENT, "SA")),
]


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (3, 0, 4, 1, 5, 2), (2, 1, 0, 5, 4, 3)]
)
def test_ipvs_masquerade_and_packets_chain_into_one_row_in_any_order(order):
    flow = only(fed(*(STORY[i] for i in order)))
    assert ends(flow) == [CLIENT, VIP, NODE, POD]
    assert flow["engine"] == Engine.IPVS
    assert flow["state"] == State.ESTABLISHED
    expected = Seen.SYN | Seen.SYN_TRANSLATED | Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT
    assert Seen(int(flow["seen"])) & expected == expected
    assert flow["packets"].tolist() == [1, 1]


def test_one_batch_with_everything_gives_the_same_row():
    packets_ = [r for o, r in STORY if o == Origin.PACKETS]
    kernel = [r for o, r in STORY if o == Origin.KERNEL]
    flow = only(fed((Origin.KERNEL, join(*packets_, *kernel))))
    assert ends(flow) == [CLIENT, VIP, NODE, POD]
    assert flow["state"] == State.ESTABLISHED


def test_a_port_used_again_is_another_flow():
    other = "10.244.2.7:8080"
    table = fed(
        (
            Origin.KERNEL,
            join(
                mapping(1, CLIENT, VIP, POD),
                mapping(2, CLIENT, VIP, POD, hook=Hook.CT_END),
                mapping(3, CLIENT, VIP, other),
            ),
        )
    )
    backends = {ends(flow)[3] for flow in table.flows[table.alive()]}
    assert backends == {POD, other}
    ended = table.flows[table.alive()]["ended_ns"] != 0
    assert ended.sum() == 1


def test_a_new_syn_on_the_same_ports_is_another_flow_in_packets_alone():
    table = fed(
        (
            Origin.PACKETS,
            join(packet(1, CLIENT, VIP, "S", seq=5), packet(2, CLIENT, VIP, "S", seq=9)),
        )
    )
    assert len(table) == 2
    again = fed(
        (
            Origin.PACKETS,
            join(packet(1, CLIENT, VIP, "S", seq=5), packet(2, CLIENT, VIP, "S", seq=5)),
        )
    )
    assert only(again)["retransmits"] == 1


def asks(when, src, dst, **fields):
    return packet(when, src, dst, "S", seq=77, **fields)


def test_a_repeated_request_of_the_nodes_own_shows_behind_translation_only():
    table = fed(
        (Origin.KERNEL, mapping(1, CLIENT, VIP, POD)),
        (Origin.PACKETS, join(asks(1, CLIENT, POD, ifindex=3), asks(2, CLIENT, POD, ifindex=3))),
        (Origin.PACKETS, asks(4, CLIENT, POD, ifindex=3)),
    )
    flow = only(table)
    assert (flow["retransmits"], bool(flow["seen"] & Seen.RETRANSMITTED)) == (2, True)


@pytest.mark.parametrize("together", [True, False])
def test_a_repetition_is_counted_once_where_both_legs_are_seen(together):
    legs = [(CLIENT, VIP, 2), (CLIENT, POD, 3)]
    told = [asks(s, *ends, ifindex=i) for s in (1, 2, 4) for *ends, i in legs]
    batches = [join(*told)] if together else told
    table = fed(
        (Origin.KERNEL, mapping(1, CLIENT, VIP, POD)),
        *((Origin.PACKETS, part) for part in batches),
    )
    assert only(table)["retransmits"] == 2


def test_a_packet_on_several_interfaces_is_counted_once():
    flow = only(
        fed(
            (
                Origin.PACKETS,
                join(*(packet(1 + i / 10, CLIENT, VIP, "S", ifindex=i) for i in (2, 3, 4))),
            )
        )
    )
    assert flow["packets"].tolist() == [1, 0]
    assert flow["retransmits"] == 0


def test_a_reset_that_answers_the_syn_refuses_and_a_later_one_does_not():
    asked = packet(1, CLIENT, VIP, "S")
    refused = only(fed((Origin.PACKETS, join(asked, packet(2, VIP, CLIENT, "RA", seq=0)))))
    assert refused["state"] == State.REFUSED
    closed = only(
        fed(
            (
                Origin.PACKETS,
                join(asked, packet(2, VIP, CLIENT, "SA"), packet(3, VIP, CLIENT, "R", seq=77)),
            )
        )
    )
    assert closed["state"] == State.CLOSED


def test_a_pods_reset_in_its_own_namespace_reaches_the_row():
    table = FlowTable(seed=1)
    table.home_netns = 4026531840
    table.update(mapping(1, CLIENT, VIP, POD, source=NODE, netns=4026531840), Origin.KERNEL)
    table.update(
        record(Hook.RST_SENT, 1.1, NODE, POD, netns=4026532000, tcp_flags=2), Origin.KERNEL
    )
    flow = only(table)
    assert flow["state"] == State.REFUSED
    assert flow["seen"] & Seen.RST_LOCAL


RESET = [packet(1.6, POD, NODE, "R", ifindex=3), packet(1.7, VIP, CLIENT, "R")]


@pytest.mark.parametrize("batches", [[join(*RESET)], RESET, RESET[::-1]])
def test_the_backends_own_reset_counts_and_not_its_translated_copy(batches):
    told = [(Origin.PACKETS, records) for records in batches]
    assert address.text(only(fed(*STORY, *told))["refused_by"].tobytes()) == "10.244.1.5"


def test_before_the_backend_is_known_a_reset_is_that_of_the_address_asked():
    reset = packet(1.7, VIP, CLIENT, "R")
    flow = only(fed((Origin.PACKETS, join(packet(1, CLIENT, VIP, "S"), reset))))
    assert address.text(flow["refused_by"].tobytes()) == "10.96.0.10"


def test_an_icmp_error_refuses_the_flow_it_quotes():
    error = record(
        Hook.PACKET, 2, "172.18.0.2:0", "10.244.3.8:0", nat=(CLIENT, VIP), flags=Flag.QUOTED,
        protocol=Protocol.ICMP, detail=3 << 8 | 3, reason=Protocol.TCP,
    )  # fmt: skip
    flow = only(fed((Origin.PACKETS, join(packet(1, CLIENT, VIP, "S"), error))))
    assert flow["state"] == State.REFUSED
    assert flow["refusal"] == 3 << 8 | 3
    assert address.text(flow["refused_by"].tobytes()) == "172.18.0.2"


def test_a_drop_makes_a_row_for_a_request_and_none_for_a_stray_reset():
    drop = record(Hook.DROP, 1, CLIENT, VIP, tcp_flags=2, reason=3, detail=4)
    flow = only(fed((Origin.KERNEL, drop)))
    assert flow["state"] == State.LOST
    assert (flow["drop_reason"], flow["drop_location"]) == (3, 4)
    assert not len(fed((Origin.KERNEL, record(Hook.DROP, 1, CLIENT, VIP, tcp_flags=4))))


def test_a_drop_that_a_retry_overcame_is_no_loss():
    flow = only(
        fed(
            (Origin.KERNEL, record(Hook.DROP, 1, CLIENT, VIP, tcp_flags=2)),
            (Origin.PACKETS, packet(2, VIP, CLIENT, "SA")),
        )
    )
    assert flow["state"] == State.ESTABLISHED


def test_kernel_counters_at_the_end_are_taken():
    flow = only(
        fed(
            (Origin.KERNEL, mapping(1, CLIENT, VIP, POD)),
            (
                Origin.KERNEL,
                mapping(9, CLIENT, VIP, POD, hook=Hook.CT_END, seq=6, ack=5, flags=Flag.REPLIED),
            ),
        )
    )
    assert flow["packets"].tolist() == [6, 5]
    assert flow["state"] == State.CLOSED


def test_nat_of_nat_across_namespaces_names_both_rows():
    table = FlowTable(seed=1)
    table.home_netns = 1
    node_a, node_b = (
        mapping(1, "192.168.50.9:5000", "172.18.0.2:31704", POD, source=NODE, netns=1),
        mapping(1.1, NODE, POD, POD, netns=2, flags=0),
    )
    table.update(join(node_a, node_b), Origin.KERNEL)
    first, second = table.flows[table.alive()]
    assert first["downstream"] == second["id"]
    assert second["upstream"] == first["id"]


def test_the_engine_of_a_moved_destination_without_nat_bit_is_ipvs():
    assert (
        only(fed((Origin.CONNTRACK, mapping(1, CLIENT, VIP, POD, flags=0))))["engine"]
        == Engine.IPVS
    )
    nat = only(fed((Origin.CONNTRACK, mapping(1, CLIENT, VIP, POD, flags=Flag.DST_NAT))))
    assert nat["engine"] == Engine.UNKNOWN


def test_a_full_table_gives_up_ended_flows_first():
    table = FlowTable(max_rows=100, seed=1)
    for i in range(100):
        table.update(mapping(i, f"10.0.0.1:{1000 + i}", VIP, POD), Origin.KERNEL)
    table.update(mapping(200, "10.0.0.1:1050", VIP, POD, hook=Hook.CT_END), Origin.KERNEL)
    table.update(mapping(201, "10.0.0.1:2000", VIP, POD), Origin.KERNEL)
    assert table.evicted > 0
    ports = set(table.flows["client_port"][table.alive()].tolist())
    assert 1050 not in ports
    assert 2000 in ports


def test_many_flows_keep_every_tuple():
    table = FlowTable(seed=3)
    many = np.concatenate(
        [mapping(i / 100, f"10.0.{i // 250}.{i % 250}:{i + 1}", VIP, POD) for i in range(3000)]
    )
    table.update(many, Origin.KERNEL)
    assert len(table) == 3000
    rows = table.alive()
    assert sorted(table.flows["client_port"][rows].tolist()) == list(range(1, 3001))


def test_a_connection_on_ports_just_used_is_one_row_whatever_the_batch_holds():
    other = "10.244.2.7:8080"
    replied = {"flags": Flag.DST_NAT | Flag.REPLIED}
    table = fed(
        (Origin.CONNTRACK, mapping(1, CLIENT, VIP, POD)),
        (Origin.PACKETS, packet(100, CLIENT, VIP, "S", seq=7)),
        (Origin.PACKETS, packet(100, CLIENT, other, "S", seq=7)),
        (
            Origin.CONNTRACK,
            join(
                mapping(100.03, CLIENT, VIP, POD, hook=Hook.CT_END, **replied),
                mapping(100.03, CLIENT, VIP, other),
                mapping(100.03, CLIENT, VIP, other, hook=Hook.CT_UPDATE, **replied),
            ),
        ),
    )
    backends = [ends(table.flows[row])[3] for row in table.alive()]
    assert backends.count(other) == 1
    fresh = [f"10.244.3.9:{port}" for port in range(20000, 20050)]
    table.update(join(*(mapping(101, client, VIP, POD) for client in fresh)), Origin.CONNTRACK)
    clients = [ends(table.flows[row])[0] for row in table.alive()]
    assert [clients.count(client) for client in fresh] == [1] * len(fresh)


def test_a_mapping_that_another_takes_the_place_of_is_over():
    """The kernel tells no end of an entry that was made while nobody listened."""
    other = "10.244.2.7:8080"
    table = fed(
        (Origin.CONNTRACK, mapping(1, CLIENT, VIP, POD, flags=Flag.DST_NAT | Flag.EXISTING)),
        (Origin.CONNTRACK, mapping(9, CLIENT, VIP, other)),
    )
    over = {ends(flow)[3]: bool(flow["ended_ns"]) for flow in table.flows[table.alive()]}
    assert over == {POD: True, other: False}
