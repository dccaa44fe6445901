"""Tunnels built by scapy around its packets."""

from __future__ import annotations

from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests.tracer.packets.frames import packets, ports, v4_addresses, v6_addresses
from tracer.events import Tunnel

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
networks = st.integers(0, (1 << 24) - 1)


@st.composite
def tunnelled(draw, inner=packets):
    """(kind, identifier, outer IP packet, packet inside)."""
    inside = draw(inner)
    kind = draw(st.sampled_from([kind for kind in Tunnel if kind]))
    identifier = 0 if kind in (Tunnel.IPIP, Tunnel.UDP) else draw(networks)
    carried = _CARRIED[kind](draw, inside, identifier)
    if kind == Tunnel.GRE and not carried.key_present:
        identifier = 0
    return kind, identifier, draw(outer()) / carried, inside


@st.composite
def outer(draw):
    if draw(st.booleans()):
        return IP(src=draw(v4_addresses), dst=draw(v4_addresses))
    return IPv6(src=draw(v6_addresses), dst=draw(v6_addresses))


def ethernet(draw, inside: Packet) -> Packet:
    kind = 0x0800 if IP in inside else 0x86DD
    if draw(st.booleans()):
        return Ether(**MACS) / Dot1Q(vlan=7, type=kind) / Raw(bytes(inside))
    return Ether(**MACS, type=kind) / Raw(bytes(inside))


def _ethertype(inside: Packet) -> int:
    return 0x0800 if IP in inside else 0x86DD


def _ipip(draw, inside, identifier):
    return inside


def _gre(draw, inside, identifier):
    framed = draw(st.booleans())
    head = GRE(
        proto=0x6558 if framed else _ethertype(inside),
        chksum_present=draw(st.integers(0, 1)),
        key_present=draw(st.integers(0, 1)),
        seqnum_present=draw(st.integers(0, 1)),
        key=identifier,
        sequence_number=5,
    )
    return head / Raw(bytes(ethernet(draw, inside) if framed else inside))


def _vxlan(draw, inside, identifier):
    head = VXLAN(vni=identifier, flags=8, NextProtocol=0)
    return UDP(sport=draw(ports), dport=draw(ports)) / head / Raw(bytes(ethernet(draw, inside)))


def _geneve(draw, inside, identifier):
    options = bytes([1, 2, 3, 1, 9, 9, 9, 9]) * draw(st.integers(0, 3))
    head = GENEVE(vni=identifier, proto=0x6558, optionlen=len(options) // 4, options=[])
    frame = options + bytes(ethernet(draw, inside))
    return UDP(sport=draw(ports), dport=draw(ports)) / bytes(head)[:8] / Raw(frame)


def _udp(draw, inside, identifier):
    return UDP(sport=8285, dport=8285) / Raw(bytes(inside))


_CARRIED = {
    Tunnel.IPIP: _ipip,
    Tunnel.GRE: _gre,
    Tunnel.VXLAN: _vxlan,
    Tunnel.GENEVE: _geneve,
    Tunnel.UDP: _udp,
}
