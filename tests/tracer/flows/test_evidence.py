from tests.builders import batch, mapping, packet, record
from tracer.events import Hook, Origin, TcpFlag
from tracer.flow import Seen
from tracer.flows import FlowTable

CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.2:80"
SYN_ACK = TcpFlag.SYN | TcpFlag.ACK
NODE, BACKEND = "10.0.0.9:50000", "10.0.0.2:8080"


def told(*steps):
    """A table that was told these (origin, records) in this order."""
    table = FlowTable(seed=1)
    for origin, records in steps:
        table.update(batch(*records).records, origin)
    return table


def answer_dropped(seconds):
    return record(Hook.DROP, seconds, SERVER, CLIENT, tcp_flags=SYN_ACK)


def answer_seen(seconds):
    return packet(seconds, SERVER, CLIENT, "SA")


def marks(table):
    return [Seen(int(table.flows["seen"][row])) for row in table.alive()]


def test_a_drop_that_is_told_before_its_packet_hits_the_row_that_the_packet_makes():
    table = told((Origin.KERNEL, [answer_dropped(1)]), (Origin.PACKETS, [answer_seen(1)]))
    (seen,) = marks(table)
    assert seen & Seen.DROPPED
    table.update(batch(answer_seen(1.2)).records, Origin.PACKETS)
    assert len(table) == 1


def test_a_drop_of_an_answer_makes_no_row_by_itself():
    assert marks(told((Origin.KERNEL, [answer_dropped(1)]))) == []


def test_a_packet_long_after_a_drop_is_another_one():
    table = told((Origin.KERNEL, [answer_dropped(1)]), (Origin.PACKETS, [answer_seen(3)]))
    (seen,) = marks(table)
    assert not seen & Seen.DROPPED


def test_early_drops_are_kept_in_bounds():
    many = [
        record(Hook.DROP, 1, SERVER, f"10.1.0.1:{n + 1}", tcp_flags=SYN_ACK) for n in range(2000)
    ]
    table = told((Origin.KERNEL, [answer_dropped(1), *many]), (Origin.PACKETS, [answer_seen(1)]))
    (seen,) = marks(table)
    assert not seen & Seen.DROPPED


def clash(*before, seconds=5.0, taken=NODE):
    ask = record(Hook.CT_FAILED, seconds, CLIENT, "10.0.0.9:80", nat=(taken, BACKEND))
    table = told((Origin.KERNEL, [*before]), (Origin.KERNEL, [ask]))
    flows = table.flows
    (row,) = [row for row in table.alive() if int(flows["client_port"][row]) == 40000]
    return table, int(flows["taken_by"][row])


def holder(seconds):
    return mapping(seconds, "10.0.0.1:39999", "10.0.0.9:80", BACKEND, source=NODE)


def test_who_has_the_tuple_that_could_not_be_inserted_is_noted():
    table, by = clash(holder(1))
    assert int(table.flows["client_port"][table.row(by)]) == 39999


def test_a_tuple_that_is_free_or_was_taken_just_now_is_nobodys():
    assert clash(holder(1), taken="10.0.0.9:50001")[1] == 0
    assert clash(holder(4.95))[1] == 0


def test_a_client_that_has_gone_refuses_the_answer_and_not_its_request():
    """Its kernel knows no socket for a late datagram; what it sends back was never asked for."""
    port_unreachable = 3 << 8 | 3
    seen_as = {"protocol": 17, "detail": port_unreachable}
    late = record(Hook.ICMP_SENT, 2, SERVER, CLIENT, **seen_as)
    table = told((Origin.KERNEL, [mapping(1, CLIENT, SERVER, BACKEND, protocol=17), late]))
    (seen,) = marks(table)
    assert not seen & Seen.ICMP_REFUSED
    assert seen & Seen.ANSWER_CLIENT
    request = record(Hook.ICMP_SENT, 2, CLIENT, BACKEND, **seen_as)
    table = told((Origin.KERNEL, [mapping(1, CLIENT, SERVER, BACKEND, protocol=17), request]))
    (seen,) = marks(table)
    assert seen & Seen.ICMP_REFUSED
    assert table.flows["refusal"][table.alive()[0]] == port_unreachable
