from __future__ import annotations

import numpy as np
import pytest

from tests.builders import batch, join, mapping, packet
from tests.tracer.shown import VIP, WEB, traced
from tracer import address
from tracer.events import EventBatch, Flag, Origin, PacketBytes, Protocol, Tunnel
from tracer.pipeline import Pipeline
from tracer.view import Page, Sheet, Tone, View, ViewQuery
from tracer.view.packet_store import PacketStore

CLIENT, NODE = "10.244.3.8:40000", "192.168.1.3:5000"


def sniffed(*records) -> EventBatch:
    """Packets with bytes: each has its number three times."""
    rows = join(*records)
    count = len(rows)
    data = np.repeat(np.arange(count, dtype=np.uint8), 3)
    bytes_behind = PacketBytes(
        data,
        np.arange(count + 1, dtype=np.int64) * 3,
        np.full(count, 60, dtype=np.uint32),
        np.full(count, 101, dtype=np.uint16),
    )
    return batch(rows, until=9.0, origin=Origin.PACKETS, packets=bytes_behind)


def handshake() -> tuple[View, Pipeline]:
    """One translated connection seen on both legs, and a stranger."""
    view, pipeline = View(), traced()
    pipeline.feed(batch(mapping(1.0, CLIENT, VIP, WEB, source=NODE), until=1.0))
    seen = sniffed(
        packet(1.3, WEB, NODE, "SA"),
        packet(1.0, CLIENT, VIP, "S"),
        packet(1.1, "10.0.0.1:1", "10.0.0.2:2", "S"),
        packet(1.2, NODE, WEB, "S"),
        packet(1.4, VIP, CLIENT, "SA"),
        packet(1.5, VIP, CLIENT, "R"),
    )
    view.observe(pipeline, pipeline.feed(seen))
    return view, pipeline


def shown(view: View, pipeline: Pipeline, **query) -> Sheet:
    return view.answer(pipeline, ViewQuery(page=Page.PACKETS, **query)).sheet


def column(sheet: Sheet, title: str) -> list[str]:
    place = [heading.title for heading in sheet.headings].index(title)
    return [row[place] for row in sheet.cells]


def test_the_tunnel_around_a_packet_is_told():
    view, pipeline = View(), traced()
    seen = sniffed(packet(1.0, CLIENT, WEB, "S"))
    rows = seen.records
    rows["flags"] |= np.uint16(Flag.TUNNELLED)
    rows["reason"], rows["nat_dst_port"] = Tunnel.VXLAN, 42
    rows["nat_src"], rows["nat_dst"] = column_of("192.168.1.3"), column_of("192.168.1.4")
    view.observe(pipeline, pipeline.feed(seen))
    told = "vxlan 42 between 192.168.1.3 and 192.168.1.4"
    answer = view.answer(pipeline, ViewQuery(page=Page.PACKETS, row=1))
    assert ("Inside", told) in answer.detail.facts
    row = int(pipeline.table.flows["id"][pipeline.table.alive()[0]])
    way = view.answer(
        pipeline, ViewQuery(page=Page.TRANSLATIONS, selected=row, all_flows=True)
    ).detail.path
    assert any(step.what.endswith(f"SYN, inside {told}") for step in way)


@pytest.mark.parametrize(
    ("protocol", "detail", "info"),
    [
        (Protocol.ICMP, 0x0303, "icmp port unreachable"),
        (Protocol.ICMP, 0x0304, "icmp too big"),
        (Protocol.ICMPV6, 0x0104, "icmpv6 port unreachable"),
        (Protocol.ICMPV6, 0x8000, "icmpv6 echo request"),
        (Protocol.ICMP, 0x2A07, "icmp type 42 code 7"),
        (Protocol.UDP, 1200, "udp"),
        (132, 0, "sctp"),
        (47, 0, "47"),
    ],
)
def test_what_is_not_tcp_says_what_it_is(protocol, detail, info):
    view, pipeline = View(), traced()
    seen = sniffed(packet(1.0, CLIENT, WEB))
    seen.records["protocol"], seen.records["detail"] = protocol, detail
    view.observe(pipeline, pipeline.feed(seen))
    assert column(shown(view, pipeline), "Info") == [info]


def test_an_icmp_error_tells_what_it_is_about():
    view, pipeline = View(), traced()
    seen = sniffed(packet(1.0, "10.244.1.5:0", "10.244.3.8:0"))
    rows = seen.records
    rows["protocol"], rows["detail"], rows["reason"] = Protocol.ICMP, 0x0303, Protocol.UDP
    rows["flags"] |= np.uint16(Flag.QUOTED)
    rows["nat_src"], rows["nat_dst"] = column_of("10.244.3.8"), column_of("10.244.1.5")
    rows["nat_src_port"], rows["nat_dst_port"] = 40000, 53
    view.observe(pipeline, pipeline.feed(seen))
    detail = view.answer(pipeline, ViewQuery(page=Page.PACKETS, row=1)).detail
    assert ("About", "udp 10.244.3.8:40000 → 10.244.1.5:53") in detail.facts


def column_of(ip: str) -> np.ndarray:
    return address.column([address.parse(ip)])[0]


def test_a_flow_is_followed_over_both_legs_in_the_order_of_time():
    sheet = shown(*handshake(), selected=1)
    assert column(sheet, "Leg") == [
        "client → VIP",
        "node → backend",
        "backend → node",
        "VIP → client",
        "VIP → client",
    ]
    assert column(sheet, "Time")[:2] == ["+0.000000", "+0.200000"]
    assert column(sheet, "Info") == ["SYN", "SYN", "SYN ACK", "SYN ACK", "RST"]
    assert sheet.tones[-1] == Tone.BAD


def test_without_a_flow_all_packets_are_there_the_newest_on_top():
    view, pipeline = handshake()
    sheet = shown(view, pipeline)
    assert (sheet.count, sheet.ids[0], column(sheet, "Info")[0]) == (6, 6, "RST")
    window = shown(view, pipeline, start=2, height=2)
    assert (window.ids, window.cells) == (sheet.ids[2:4], sheet.cells[2:4])


def test_a_filter_of_flows_leaves_their_packets():
    view, pipeline = handshake()
    sheet = shown(view, pipeline, filter="service=shop/web")
    assert sheet.ids == (6, 5, 4, 2, 1)
    assert shown(view, pipeline, filter="not service=shop/web").ids == (3,)
    window = shown(view, pipeline, filter="service=shop/web", start=1, height=2, row=4)
    assert (window.ids, window.cells, window.selected_at) == (sheet.ids[1:3], sheet.cells[1:3], 2)
    assert shown(view, pipeline, filter="service=shop/web", until=4, mark=1).fresh == 2
    assert shown(view, pipeline, filter="port=9", selected=1).count == 5
    nothing = view.answer(pipeline, ViewQuery(page=Page.PACKETS, filter="port=9"))
    assert (nothing.sheet.count, nothing.missing) == (
        0,
        "None of the newest 16,384 packets passes the filter.",
    )


def test_the_selected_packet_comes_with_its_bytes():
    view, pipeline = handshake()
    shot = view.answer(pipeline, ViewQuery(page=Page.PACKETS, selected=1, row=2))
    assert shot.detail is not None
    assert shot.detail.captured is not None
    assert (shot.detail.captured.data, shot.detail.captured.link_type) == (b"\1\1\1", 101)
    assert shot.sheet.selected_at == 0
    assert dict(shot.detail.facts)["Captured"] == "3 of 60 bytes"


def test_the_oldest_packets_go_first_and_are_counted():
    batches = [sniffed(packet(1.0, CLIENT, VIP, "S")) for _ in range(3)]
    store = PacketStore(bytes_kept=300)
    for one in batches:
        store.observe(one)
    assert (store.oldest, store.newest, store.forgotten) == (2, 3, 1)
    assert store.packet(1) is None
    assert len(store.records(2, 2)) == 2


def test_the_newest_batch_stays_however_large():
    store = PacketStore(bytes_kept=1)
    store.observe(sniffed(packet(1.0, CLIENT, VIP, "S")))
    assert store.newest == store.oldest == 1


def test_an_empty_page_says_why():
    shot = View().answer(traced(), ViewQuery(page=Page.PACKETS))
    assert (shot.sheet.count, shot.missing) == (0, "No packets: none were captured.")


def test_a_frozen_page_stands_still():
    view, pipeline = handshake()
    assert shown(view, pipeline, until=3).ids == (3, 2, 1)
    assert shown(view, pipeline, selected=1, until=2).count == 2
    assert shown(view, pipeline, mark=4).fresh == 2
