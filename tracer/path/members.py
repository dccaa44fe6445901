"""Whether a packet's fields are in an address set, as ``-m set --match-set NAME dst,dst`` asks."""

from __future__ import annotations

from collections.abc import Sequence

from tracer import address
from tracer.events import PROTOCOL_NAMES
from tracer.node.sets import AddressSet
from tracer.path.ground import Ground
from tracer.path.networks import between, inside, network
from tracer.path.packet import Answer, Doubt, Packet

_EXACT = {"ip", "port"}
_DEPTH = 8
"""Lists of sets may not hold lists; deeper nesting is a damaged file."""


def in_set(ground: Ground, name: str, sides: Sequence[str], packet: Packet) -> Answer:
    """Whether the packet is in the set; a doubt for sets and kinds that are not known."""
    found = ground.sets.get(name)
    if found is None:
        where = "has no such set" if "address_sets" in ground.state.known else "is not there"
        return Doubt(f"set {name} (ipset-save.txt {where})")
    return _within(ground, found, sides, packet, 0)


def _within(
    ground: Ground, found: AddressSet, sides: Sequence[str], packet: Packet, depth: int
) -> Answer:
    form, _, dimensions = found.kind.partition(":")
    if form == "list" and depth < _DEPTH:
        return _in_list(ground, found, sides, packet, depth)
    parts = dimensions.split(",")
    if found.kind.count(" ") or len(parts) > len(sides):
        return Doubt(f"set {found.name} of kind {found.kind}")
    if form != "bitmap" and found.ipv6 != packet.ipv6 and "ip" in parts + ["ip"] * ("net" in parts):
        return False
    wanted = [_field(part, side, packet) for part, side in zip(parts, sides, strict=False)]
    if None in wanted:
        return Doubt(f"set {found.name} of kind {found.kind}")
    values = [value for value in wanted if value is not None]
    if form == "bitmap" and packet.protocol not in (6, 17) and "port" in parts:
        return False
    if set(parts) <= _EXACT:
        key = ",".join(values)
        bare = ",".join(
            v.rpartition(":")[2] if p == "port" else v for p, v in zip(parts, values, strict=True)
        )
        return (
            key in found.plain
            or (form == "bitmap" and bare in found.plain)
            or _ranged(found, parts, values)
        )
    return _longest(found, parts, values)


def _in_list(
    ground: Ground, found: AddressSet, sides: Sequence[str], packet: Packet, depth: int
) -> Answer:
    """In any of the sets of a list; a doubt where one of them is not known."""
    answers: list[Answer] = []
    for name in found.members:
        inner = ground.sets.get(name)
        if inner is None:
            answers.append(Doubt(f"set {name}"))
        else:
            answers.append(_within(ground, inner, sides, packet, depth + 1))
    if True in answers:
        return True
    return next((answer for answer in answers if answer is not False), False)


def _field(part: str, side: str, packet: Packet) -> str | None:
    """One field of the packet as members spell it; None if that kind is not known."""
    source = side == "src"
    if part in ("ip", "net"):
        return address.text(packet.src if source else packet.dst)
    if part == "port":
        port = packet.sport if source else packet.dport
        name = PROTOCOL_NAMES.get(packet.protocol, str(packet.protocol))
        return None if port is None else f"{name}:{port}"
    if part == "iface":
        return packet.incoming if source else packet.outgoing
    if part == "mark":
        return f"0x{packet.mark:08x}"
    return None


def _ranged(found: AddressSet, parts: Sequence[str], values: Sequence[str]) -> bool:
    """Members written as ranges or networks, which ``ipset save`` expands but people do not."""
    return any(
        _member(member, parts, values) for member in found.members if "-" in member or "/" in member
    )


def _longest(found: AddressSet, parts: Sequence[str], values: Sequence[str]) -> bool:
    """Of the members that fit the most exact one decides: it may be an exception."""
    best, answer = -1, False
    for member in found.members:
        if _member(member, parts, values):
            exactness = sum(network(t)[1] for t in member.split(",") if _is_network(t))
            if exactness >= best:
                best, answer = exactness, member not in found.excluded
    return answer


def _is_network(text: str) -> bool:
    try:
        network(text)
    except ValueError:
        return False
    return True


def _member(member: str, parts: Sequence[str], values: Sequence[str]) -> bool:
    texts = member.split(",")
    if len(texts) != len(parts):
        return False
    try:
        return all(_part(*each) for each in zip(parts, texts, values, strict=True))
    except ValueError:
        return False


def _part(part: str, text: str, value: str) -> bool:
    """Whether one field fits one part of a member."""
    if part in ("ip", "net"):
        first, dash, last = text.partition("-")
        ip = address.parse(value)
        return between(ip, first, last) if dash else inside(ip, text)
    if part != "port":
        return text == value
    protocol, colon, ports = text.rpartition(":")
    wanted, _, port = value.rpartition(":")
    if colon and protocol != wanted:
        return False
    low, _, high = ports.partition("-")
    return int(low) <= int(port) <= int(high or low)
