"""What is read in one go says the same as what is read header by header."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from tests.tracer.packets.frames import frames
from tests.tracer.packets.test_decode import captured, decoded
from tests.tracer.packets.tunnels import tunnelled
from tracer.events import EVENT
from tracer.fields import Fields
from tracer.packets import LinkType
from tracer.packets.decode import _decode_others
from tracer.packets.link import locate
from tracer.packets.ragged import Spans
from tracer.packets.usual import WRITTEN, fill


def both_ways(*built):
    """Records of usual packets as read in one go and as read header by header."""
    spans = Spans.of(captured(*built))
    ends = spans.starts + spans.lengths
    links = locate(spans.data, spans.starts, ends, spans.link_types)
    quick, slow = Fields(EVENT, len(built), *WRITTEN), np.zeros(len(built), dtype=EVENT)
    for name in ("time_ns", "netns", "ifindex", "flags"):
        quick[name] = 0
    rows = np.flatnonzero(fill(quick, spans.data, links, ends))
    valid = _decode_others(spans, links, slow)
    assert valid[rows].all()
    return rows, quick.rows(rows).structured(), slow[rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=12), st.data())
def test_whole_and_cut_packets(built, data):
    cut = [(link, frame[: data.draw(st.integers(0, len(frame)))]) for link, frame, _ in built]
    _, quick, slow = both_ways(*cut, *((link, frame) for link, frame, _ in built))
    assert quick.tobytes() == slow.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=6), st.data())
def test_damaged_packets(built, data):
    damaged = []
    for link, frame, _ in built:
        raw = bytearray(frame)
        for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
            raw[at] = data.draw(st.integers(0, 255))
        damaged.append((link, bytes(raw)))
    _, quick, slow = both_ways(*damaged)
    assert quick.tobytes() == slow.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(tunnelled(), min_size=1, max_size=4))
def test_nothing_in_a_tunnel_is_usual(built):
    framed = [(LinkType.RAW, bytes(outer)) for _, _, outer, _ in built]
    assert not both_ways(*framed)[0].size


def test_tcp_and_udp_are_usual():
    packets = [
        network / transport
        for network in (IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2"))
        for transport in (TCP(flags="S", options=[("Timestamp", (7, 0))]), UDP() / b"what is it?")
    ]
    rows, quick, slow = both_ways(*((LinkType.RAW, bytes(packet)) for packet in packets))
    assert rows.tolist() == list(range(4))
    assert quick["cookie"].all()
    assert quick.tobytes() == slow.tobytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(frames(), min_size=2, max_size=12))
def test_a_record_does_not_hang_on_its_neighbours(built):
    together, _ = decoded(*((link, frame) for link, frame, _ in built))
    for record, (link, frame, _) in zip(together, built, strict=True):
        (alone,), _ = decoded((link, frame))
        alone["time_ns"] = record["time_ns"]
        assert alone.tobytes() == record.tobytes()
