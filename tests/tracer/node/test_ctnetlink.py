import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import record
from tests.tracer.node.rows import TABLES, flags, spoken, story
from tracer.events import Flag, Hook, Protocol
from tracer.node import conntrack, ctnetlink
from tracer.node.attributes import Block, messages
from tracer.node.lines import Unread

IPTABLES = (TABLES / "iptables.ctnetlink").read_bytes()
IPVS = (TABLES / "ipvs-masquerade.ctnetlink").read_bytes()


def decode(data, time_ns=5, **options):
    return ctnetlink.decode(messages(Block.of([data])), time_ns, **options)


def lanes(data):
    """Each message as a datagram of its own, as a multicast socket gives them."""
    found = messages(Block.of([data]))
    return [
        found.words[start:end].tobytes()
        for start, end in zip(found.starts, found.ends, strict=True)
    ]


def message(kind, flags, *attributes, family=2):
    body = bytes([family, 0, 0, 0]) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def tuple_of(kind, src, dst, protocol, ports):
    return ctnetlink.attribute(
        kind,
        ctnetlink.attribute(
            1, ctnetlink.attribute(1, bytes(src)) + ctnetlink.attribute(2, bytes(dst)), nested=True
        )
        + ctnetlink.attribute(
            2, ctnetlink.attribute(1, bytes([protocol])) + b"".join(ports), nested=True
        ),
        nested=True,
    )


def test_a_connection_s_life_is_told_in_order():
    records, damaged = decode(IPTABLES)
    assert (len(records), damaged) == (64, 0)
    first = records[records["src_port"] == records["src_port"][0]]
    translated = "tcp 10.1.0.2:43772 > 10.96.0.10:80 => 10.2.0.1:43772 > 10.2.0.2:8080"
    assert story(first)[:3] == [
        f"CT_NEW {translated}",
        f"CT_UPDATE {translated}",
        f"CT_UPDATE {translated}",
    ]
    nat = Flag.AFTER | Flag.SRC_NAT | Flag.DST_NAT
    assert [flags(row) for row in first[:3]] == [
        nat,
        nat | Flag.REPLIED,
        nat | Flag.REPLIED | Flag.ASSURED,
    ]
    assert set(records["time_ns"].tolist()) == {5}


def test_events_and_the_printed_table_agree():
    records, _ = decode(IPVS)
    table = conntrack.parse((TABLES / "conntrack.txt").read_bytes(), Unread("x"))
    new = records[records["hook"] == Hook.CT_NEW]
    assert {spoken(row) for row in new} == {spoken(row) for row in table}


def test_ipvs_is_known_by_a_changed_backend_without_the_dnat_bit():
    by_ipvs, _ = decode(IPVS)
    by_iptables, _ = decode(IPTABLES)
    assert all(Flag.IPVS in flags(row) and Flag.DST_NAT not in flags(row) for row in by_ipvs)
    assert all(Flag.SRC_NAT in flags(row) for row in by_ipvs)
    assert not any(Flag.IPVS in flags(row) for row in by_iptables)


def test_the_end_has_the_packets_of_both_directions():
    records, _ = decode(IPVS)
    ends = records[records["hook"] == Hook.CT_END]
    assert len(ends)
    udp = ends[ends["protocol"] == Protocol.UDP]
    assert {(int(row["seq"]), int(row["ack"])) for row in udp} == {(1, 1)}


def test_a_table_s_entries_are_existing_ones():
    records, _ = decode(IPTABLES, table=True)
    assert {int(hook) for hook in records["hook"]} == {Hook.CT_NEW}
    assert all(Flag.EXISTING in flags(row) for row in records)


def test_one_datagram_or_many_is_the_same():
    apart, _ = ctnetlink.decode(messages(Block.of(lanes(IPTABLES))), 5)
    assert np.array_equal(apart, decode(IPTABLES)[0])


def test_the_order_of_attributes_does_not_matter():
    port = ctnetlink.attribute
    forward = tuple_of(1, (10, 0, 0, 1), (10, 0, 0, 2), 6, [port(2, b"\1\0"), port(3, b"\0\x50")])
    back = tuple_of(2, (10, 0, 0, 3), (10, 0, 0, 1), 6, [port(3, b"\1\0"), port(2, b"\x1f\x90")])
    status = ctnetlink.attribute(3, (0x20).to_bytes(4))
    unknown = ctnetlink.attribute(99, b"abc")
    straight, _ = decode(message(0x100, 0x600, forward, back, status))
    shuffled, _ = decode(message(0x100, 0x600, unknown, status, back, unknown, forward))
    assert np.array_equal(straight, shuffled)
    assert story(straight) == [
        "CT_NEW tcp 10.0.0.1:256 > 10.0.0.2:80 => 10.0.0.1:256 > 10.0.0.3:8080"
    ]


def test_the_kernel_s_own_time_is_used_where_it_stamps():
    port = ctnetlink.attribute
    ends = [
        tuple_of(kind, (10, 0, 0, 1), (10, 0, 0, 2), 17, [port(2, b"\0\1"), port(3, b"\0\2")])
        for kind in (1, 2)
    ]
    stamp = ctnetlink.attribute(
        20,
        ctnetlink.attribute(1, (1000).to_bytes(8)) + ctnetlink.attribute(2, (2000).to_bytes(8)),
        nested=True,
    )
    records, _ = decode(message(0x100, 0x600, *ends, stamp) + message(0x102, 0, *ends, stamp))
    assert records["time_ns"].tolist() == [1000, 2000]


def test_a_message_without_its_tuples_is_counted():
    good = lanes(IPTABLES)[0]
    records, damaged = decode(good + message(0x100, 0x600, ctnetlink.attribute(3, bytes(4))) + good)
    assert (len(records), damaged) == (2, 1)


@pytest.mark.parametrize(
    ("src", "dst", "protocol"),
    [
        ("10.1.0.2:4000", "10.96.0.10:80", Protocol.TCP),
        ("[fd01::2]:4000", "[fd00:96::10]:53", Protocol.UDP),
        ("10.1.0.2:77", "10.1.0.3:77", Protocol.ICMP),
        ("[fd01::2]:77", "[fd01::3]:77", Protocol.ICMPV6),
    ],
)
def test_a_request_names_the_tuple_it_was_made_from(src, dst, protocol):
    row = record(Hook.CT_NEW, 0, src, dst, protocol=protocol)[0]
    asked = ctnetlink.request(row)
    # The same tuple as both directions makes the request a message that can be decoded.
    reply = bytearray(asked[4:])
    struct.pack_into("=H", reply, 2, 2 | 0x8000)
    (read,), damaged = decode(message(0x100, 0, asked[4:], bytes(reply), family=asked[0]))
    assert damaged == 0
    for name in ("src", "dst"):
        assert np.array_equal(read[name], row[name])
    for name in ("src_port", "dst_port", "protocol", "family"):
        assert read[name] == row[name]


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_can_be_walked(data):
    decode(data)


@settings(deadline=None)
@given(st.integers(0, len(IPVS) - 1), st.binary(min_size=1, max_size=12))
def test_a_damaged_stream_is_read_as_far_as_it_can_be(at, junk):
    records, damaged = decode(IPVS[:at] + junk + IPVS[at + len(junk) :])
    assert len(records) + damaged <= 60
