"""A flow remembers what its packets were captured inside."""

from __future__ import annotations

import numpy as np
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from tests.tracer.packets.test_decode import captured
from tests.tracer.packets.tunnels import MACS
from tests.tracer.shown import traced
from tracer.cells import Gathered
from tracer.columns import BY_NAME
from tracer.detail import detail_of
from tracer.events import EventBatch, Origin
from tracer.naming import naming_of
from tracer.packets import LinkType, decode

ASK = IP(src="10.244.3.8", dst="10.244.1.5") / TCP(sport=40000, dport=8080, flags="S", seq=1)
ANSWER = IP(src="10.244.1.5", dst="10.244.3.8") / TCP(sport=8080, dport=40000, flags="SA", ack=2)


def inside(packet, source, destination, vni=42):
    outer = IP(src=source, dst=destination) / UDP(sport=50000, dport=8472)
    return outer / VXLAN(vni=vni, flags=8, NextProtocol=0) / Raw(bytes(Ether(**MACS) / packet))


def fed(*packets):
    pipeline = traced()
    bytes_ = captured(*[(LinkType.RAW, bytes(packet)) for packet in packets])
    times = np.arange(len(packets), dtype=np.int64) + 10**18
    records, _ = decode(bytes_, times, np.ones(len(packets), dtype=np.uint32))
    pipeline.feed(EventBatch(records, Origin.PACKETS, int(times[-1]), packets=bytes_))
    return pipeline


def shown(pipeline, part="text"):
    flows = Gathered(pipeline.table.flows, pipeline.table.alive())
    return getattr(BY_NAME["tunnel"], part)(flows, naming_of(pipeline))


def test_both_directions_are_one_flow_in_one_tunnel():
    pipeline = fed(
        inside(ASK, "192.168.1.3", "192.168.1.9"), inside(ANSWER, "192.168.1.9", "192.168.1.3")
    )
    assert len(pipeline.table.alive()) == 1
    ends = [{"ip": "192.168.1.3", "name": "worker-1"}, {"ip": "192.168.1.9", "name": None}]
    assert shown(pipeline) == ["vxlan 42 between 192.168.1.3 (worker-1) and 192.168.1.9"]
    assert shown(pipeline, "json") == [{"kind": "vxlan", "id": 42, "between": ends}]
    row = pipeline.table.flows[pipeline.table.alive()]
    assert ("Inside", shown(pipeline)[0]) in detail_of(row, naming_of(pipeline), ()).facts


def test_what_was_also_seen_bare_is_still_in_its_tunnel():
    pipeline = fed(ASK, inside(ASK, "192.168.1.3", "192.168.1.9"), ANSWER)
    assert shown(pipeline) == ["vxlan 42 between 192.168.1.3 (worker-1) and 192.168.1.9"]


def test_what_came_in_no_tunnel_tells_of_none():
    pipeline = fed(ASK)
    assert (shown(pipeline), shown(pipeline, "json")) == ([""], [None])


def test_more_tunnels_than_there_are_numbers_for(monkeypatch):
    monkeypatch.setattr("tracer.flows.tunnels._MAX_KNOWN", 2)
    asks = [IP(src=f"10.244.3.{n}", dst="10.244.1.5") / TCP(sport=n, flags="S") for n in (1, 2, 3)]
    pipeline = fed(*[inside(ask, "192.168.1.3", "192.168.1.9", n) for n, ask in enumerate(asks)])
    assert sorted(text != "" for text in shown(pipeline)) == [False, True, True]
