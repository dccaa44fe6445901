"""Frames built by scapy, and what scapy reads in them: the oracle of the decoder."""

from __future__ import annotations

from hypothesis import strategies as st
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption_NOP,
    IPOption_RR,
)
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

from tracer import address
from tracer.packets import LinkType

ports = st.integers(1, 65535)
words = st.integers(0, 2**32 - 1)
payloads = st.binary(max_size=40)
v4_addresses = st.ip_addresses(v=4).map(str)
v6_addresses = st.ip_addresses(v=6).map(str).filter(lambda text: not text.startswith("::ffff"))


@st.composite
def tcp(draw):
    options = draw(st.lists(st.sampled_from([("NOP", None), ("MSS", 1460), ("WScale", 7)])))
    return TCP(
        sport=draw(ports),
        dport=draw(ports),
        seq=draw(words),
        ack=draw(words),
        flags=draw(st.integers(0, 255)),
        options=options,
    ) / Raw(draw(payloads))


@st.composite
def udp(draw):
    return UDP(sport=draw(ports), dport=draw(ports)) / Raw(draw(payloads))


@st.composite
def sctp(draw):
    return SCTP(sport=draw(ports), dport=draw(ports)) / SCTPChunkInit(init_tag=draw(words))


@st.composite
def echo(draw, version):
    identifier, payload = draw(ports), draw(payloads)
    if version == 6:
        return draw(st.sampled_from([ICMPv6EchoRequest, ICMPv6EchoReply]))(
            id=identifier, data=payload
        )
    return ICMP(type=draw(st.sampled_from([0, 8])), id=identifier) / Raw(payload)


@st.composite
def refusal(draw, version):
    """An ICMP error with the packet it is about, at least up to eight transport bytes."""
    quoted = bytes(draw(ip(version, st.one_of(tcp(), udp()), plain=True)))
    quoted = quoted[: draw(st.integers((40 if version == 6 else 20) + 8, len(quoted)))]
    if version == 6:
        kind = draw(st.sampled_from([ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded]))
        return kind(code=draw(st.integers(0, 6))) / Raw(quoted)
    kind = draw(st.sampled_from([3, 5, 11, 12]))
    return ICMP(type=kind, code=draw(st.integers(0, 15))) / Raw(quoted)


def transports(version):
    return st.one_of(tcp(), udp(), sctp(), echo(version), refusal(version))


@st.composite
def ip(draw, version, inner, *, plain=False):
    payload = draw(inner)
    if version == 4:
        options = [] if plain else draw(st.sampled_from([[], [IPOption_NOP()], [IPOption_RR()]]))
        return (
            IP(
                src=draw(v4_addresses),
                dst=draw(v4_addresses),
                id=draw(st.integers(0, 65535)),
                ttl=draw(st.integers(1, 255)),
                flags=draw(st.sampled_from(["", "DF", "MF"])),
                options=options,
            )
            / payload
        )
    head = IPv6(src=draw(v6_addresses), dst=draw(v6_addresses), hlim=draw(st.integers(1, 255)))
    kinds = st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPv6ExtHdrDestOpt])
    for kind in [] if plain else draw(st.lists(kinds, max_size=3)):
        head = head / kind()
    return head / payload


@st.composite
def fragments(draw, version):
    """A later fragment: nothing in it may be taken for ports."""
    payload = Raw(draw(st.binary(min_size=8, max_size=40)))
    offset = draw(st.integers(1, 8000))
    if version == 4:
        return (
            IP(src=draw(v4_addresses), dst=draw(v4_addresses), proto=17, frag=offset, id=7)
            / payload
        )
    fragment = IPv6ExtHdrFragment(nh=17, offset=offset, id=draw(words))
    return IPv6(src=draw(v6_addresses), dst=draw(v6_addresses)) / fragment / payload


packets = st.sampled_from([4, 6]).flatmap(
    lambda version: st.one_of(ip(version, transports(version)), fragments(version))
)


@st.composite
def frames(draw):
    """(link type, frame, IP packet in it), padded as Ethernet pads."""
    packet = draw(packets)
    kind = 0x0800 if IP in packet else 0x86DD
    link = draw(st.sampled_from(list(_LINKS)))
    return link, _LINKS[link](draw, packet, kind), packet


def _ethernet(draw, packet, kind):
    if draw(st.integers(0, 9)) == 0:
        return bytes(12) + b"\x88\x64" + _session(draw, packet, kind)
    tags = draw(st.lists(st.sampled_from([Dot1Q, Dot1AD]), max_size=3))
    macs = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
    head = Ether(**macs) if tags else Ether(**macs, type=kind)
    for tag in tags:
        head = head / tag(vlan=draw(st.integers(1, 4094)))
    if tags:
        head.lastlayer().type = kind
    frame = bytes(head / Raw(bytes(packet)))
    return frame + bytes(max(0, 60 - len(frame)))


def _ppp(draw, packet, kind):
    """The address and the first byte of the protocol may be left out."""
    address = draw(st.sampled_from([b"", b"\xff\x03"]))
    high = draw(st.sampled_from([b"", b"\0"]))
    return address + high + (b"\x21" if kind == 0x0800 else b"\x57") + bytes(packet)


def _session(draw, packet, kind):
    return bytes([0x11, 0, 0, 7, 0, 0]) + _ppp(draw, packet, kind)


_LINKS = {
    LinkType.PPP: _ppp,
    LinkType.PPP_HDLC: _ppp,
    LinkType.PPP_WITH_DIRECTION: lambda draw, packet, kind: b"\1" + _ppp(draw, packet, kind),
    LinkType.PPPOE: _session,
    LinkType.CISCO_HDLC: lambda _, packet, kind: (
        b"\x0f\0" + kind.to_bytes(2, "big") + bytes(packet)
    ),
    LinkType.ETHERNET: _ethernet,
    LinkType.RAW: lambda _, packet, kind: bytes(packet),
    LinkType.NULL: lambda _, packet, kind: b"\x02\0\0\0" + bytes(packet),
    LinkType.LINUX_SLL: lambda _, packet, kind: bytes(
        CookedLinux(proto=kind, pkttype=4) / Raw(bytes(packet))
    ),
    LinkType.LINUX_SLL2: lambda _, packet, kind: bytes(
        CookedLinuxV2(proto=kind, ifindex=77, pkttype=4) / Raw(bytes(packet))
    ),
}


def read_by_scapy(packet: Packet) -> dict[str, object]:
    """What a record of this IP packet must say, in scapy's reading of its bytes."""
    raw = bytes(packet)
    seen = IP(raw) if raw[0] >> 4 == 4 else IPv6(raw)
    said = {
        "family": 2 if IP in seen else 10,
        "src": address.parse(seen.src),
        "dst": address.parse(seen.dst),
        "length": len(raw),
        "ttl": seen.ttl if IP in seen else seen.hlim,
    }
    if _later_fragment(seen):
        return {**said, "protocol": 17, "src_port": 0, "dst_port": 0, "detail": 0}
    return {**said, **_transport(seen)}


def _later_fragment(seen: Packet) -> bool:
    if IP in seen:
        return seen.frag != 0
    return IPv6ExtHdrFragment in seen


def _transport(seen: Packet) -> dict[str, object]:
    for layer, protocol in ((TCP, 6), (UDP, 17), (SCTP, 132)):
        if layer in seen:
            head = seen[layer]
            said = {"protocol": protocol, "src_port": head.sport, "dst_port": head.dport}
            if layer is TCP:
                said |= {"seq": head.seq, "ack": head.ack, "tcp_flags": int(head.flags) & 0xFF}
            if layer is not SCTP:
                said["detail"] = len(head.payload)
            return said
    return _icmp(seen)


def _icmp(seen: Packet) -> dict[str, object]:
    if ICMP in seen:
        head, protocol = seen[ICMP], 1
    else:
        head = next(layer for layer in _layers(seen) if layer.name.startswith("ICMPv6"))
        protocol = 58
    said = {"protocol": protocol, "detail": head.type << 8 | head.code}
    if head.type in (0, 8, 128, 129):
        return {**said, "src_port": head.id, "dst_port": head.id}
    inner = head.payload
    quoted = bytes(inner.payload)
    return {
        **said,
        "nat_src": address.parse(inner.src),
        "nat_dst": address.parse(inner.dst),
        "nat_src_port": int.from_bytes(quoted[:2], "big"),
        "nat_dst_port": int.from_bytes(quoted[2:4], "big"),
        "reason": inner.proto if isinstance(inner, IP) else inner.nh,
    }


def _layers(packet: Packet) -> list[Packet]:
    found = []
    while packet:
        found.append(packet)
        packet = packet.payload
    return found
