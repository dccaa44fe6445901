"""What nftables' expressions say of a packet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracer import address
from tracer.events import PROTOCOL_NAMES
from tracer.node.lines import packed
from tracer.node.nft_elements import anonymous
from tracer.node.nft_ruleset import Json, NftSet, NftTable
from tracer.path.ground import Ground
from tracer.path.networks import inside, number
from tracer.path.packet import NEW, UNTOLD, Answer, Doubt, Flight, Packet

Value = bytes | int | str
"""An address, a number or a name."""
_PORTED = {"tcp", "udp", "sctp", "udplite", "dccp"}
_FLAG_BITS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
_SYN = 2
_NAMES_BY_NUMBER = dict(PROTOCOL_NAMES.items())


class NoMatch(Exception):
    """The expression does not apply to this packet, so its rule does not match."""


class Asked:
    """A packet under the rules of one table."""

    def __init__(self, ground: Ground, table: NftTable, flight: Flight) -> None:
        self.ground = ground
        self.table = table
        self.packet = flight.packet

    def value(self, expression: Json) -> Value | Doubt | tuple[Value, ...]:
        """The value of an expression; a tuple for a concatenation. NoMatch where it has none."""
        if not isinstance(expression, dict) or len(expression) != 1:
            return Doubt(f"the nft expression {expression}")
        ((kind, body),) = expression.items()
        if kind == "concat" and isinstance(body, list):
            return self._concatenated(body)
        if kind in ("&", "|", "^") and isinstance(body, list) and len(body) == 2:
            return self._combined(kind, body[0], body[1])
        found = _KINDS.get(str(kind))
        if found is None or not isinstance(body, dict):
            return Doubt(f"the nft expression {kind}")
        return found(self, body)

    def number(self, expression: Json) -> int | Doubt:
        """A number, written or looked up."""
        if isinstance(expression, int):
            return expression
        found = self.value(expression)
        if isinstance(found, Doubt):
            return found
        return found if isinstance(found, int) else Doubt(f"the nft expression {expression}")

    def _concatenated(self, parts: list[Json]) -> Doubt | tuple[Value, ...]:
        values: list[Value] = []
        doubt: Doubt | None = None
        for part in parts:
            found = self.value(part)
            if isinstance(found, Doubt):
                doubt = found
            elif not isinstance(found, tuple):
                values.append(found)
        return doubt or tuple(values)

    def _combined(self, sign: str, left: Json, right: Json) -> Value | Doubt:
        first = self.number(left)
        second = _flags(right) if isinstance(right, list | str) else self.number(right)
        if isinstance(first, Doubt):
            return first
        if isinstance(second, Doubt):
            return second
        return {"&": first & second, "|": first | second, "^": first ^ second}[sign]

    def found(self, data: Json) -> NftSet | Doubt:
        """A set or map by name, or as it is written in the rule."""
        if isinstance(data, str) and data.startswith("@"):
            named = self.table.sets.get(data[1:])
            return named if named is not None else Doubt(f"the nft set {data}")
        if isinstance(data, dict) and isinstance(data.get("set"), list):
            return anonymous(data["set"])
        return Doubt(f"the nft set {data}")


def look_up(home: NftSet, value: Value | tuple[Value, ...]) -> tuple[bool, Json, str]:
    """Whether a value is among the keys, what it maps to, and the element's comment."""
    values = value if isinstance(value, tuple) else (value,)
    key = tuple(spelled(part) for part in values)
    if key in home.exact:
        return True, home.exact[key], home.comments.get(key, "")
    for parts, mapped in home.ranges:
        if len(parts) == len(values) and all(map(fits, values, parts)):
            return True, mapped, ""
    return False, None, ""


def spelled(value: Value) -> str:
    """A value as listings write it."""
    return address.text(value) if isinstance(value, bytes) else str(value)


def fits(value: Value, wanted: Json) -> bool:
    """Whether a value equals a literal, or lies in its prefix or range."""
    if isinstance(wanted, dict):
        if "range" in wanted:
            return _in_range(value, wanted["range"])
        return isinstance(value, bytes) and inside(value, _prefix_text(wanted))
    if isinstance(value, bytes):
        try:
            return isinstance(wanted, str) and packed(wanted) == value
        except ValueError:
            return False
    if isinstance(value, str) and isinstance(wanted, str) and wanted.endswith("*"):
        return value.startswith(wanted[:-1])
    if isinstance(wanted, int) and isinstance(value, str):
        return value == _NAMES_BY_NUMBER.get(wanted, str(wanted))
    return spelled(value) == str(wanted)


def _prefix_text(wanted: Mapping[str, Json]) -> str:
    prefix = wanted.get("prefix")
    if not isinstance(prefix, dict):
        raise ValueError(str(wanted))
    return f"{prefix.get('addr')}/{prefix.get('len')}"


def _in_range(value: Value, ends: Json) -> bool:
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(str(ends))
    if isinstance(value, bytes):
        return number(packed(str(ends[0]))) <= number(value) <= number(packed(str(ends[1])))
    if isinstance(value, int):
        return int(str(ends[0])) <= value <= int(str(ends[1]))
    return False


def _flags(names: Json) -> int | Doubt:
    listed = names if isinstance(names, list) else [names]
    bits = [_FLAG_BITS.get(str(name)) for name in listed]
    return Doubt(f"the flags {listed}") if None in bits else sum(b for b in bits if b)


def compare(asked: Asked, body: Mapping[str, Json]) -> Answer:
    """A ``match`` statement. NoMatch where its left side does not apply."""
    operator, right = body.get("op"), body.get("right")
    left = asked.value(body.get("left"))
    if isinstance(left, Doubt):
        return left
    if operator == "in" or (isinstance(right, list) and operator in ("==", "!=")):
        listed = right if isinstance(right, list) else [right]
        names = set(str(left).split(",")) if isinstance(left, str) else {str(left)}
        hit = bool(names & set(map(str, listed)))
        return hit != (operator == "!=")
    if operator in ("==", "!="):
        equal = _equal(asked, left, right)
        return equal if isinstance(equal, Doubt) else equal != (operator == "!=")
    if isinstance(left, int) and isinstance(right, int):
        return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}.get(
            str(operator), Doubt(f"the nft comparison {operator}")
        )
    return Doubt(f"the nft comparison {operator}")


def _equal(asked: Asked, left: Value | tuple[Value, ...], right: Json) -> bool | Doubt:
    is_set = (isinstance(right, str) and right.startswith("@")) or (
        isinstance(right, dict) and "set" in right
    )
    if is_set:
        home = asked.found(right)
        return home if isinstance(home, Doubt) else look_up(home, left)[0]
    if isinstance(left, tuple):
        parts = right.get("concat") if isinstance(right, dict) else None
        if not isinstance(parts, list) or len(parts) != len(left):
            return Doubt(f"the nft value {right}")
        return all(map(fits, left, parts))
    if isinstance(left, int) and isinstance(right, str) and not right.isdigit():
        flags = _flags(right)
        return flags if isinstance(flags, Doubt) else left == flags
    if isinstance(left, str) and "," in left:
        return str(right) in left.split(",")
    return fits(left, right)


def _payload(asked: Asked, body: Mapping[str, Json]) -> Value | Doubt:
    packet, protocol, part = asked.packet, str(body.get("protocol")), body.get("field")
    if protocol in ("ip", "ip6"):
        if packet.ipv6 != (protocol == "ip6"):
            raise NoMatch
        if part in ("protocol", "nexthdr"):
            return packet.protocol_name
        ends = {"saddr": packet.src, "daddr": packet.dst}
        return ends.get(str(part), Doubt(f"{protocol} {part}"))
    if protocol == "th" or protocol in _PORTED:
        if protocol not in ("th", packet.protocol_name) or packet.protocol_name not in _PORTED:
            raise NoMatch
        return _transport(packet, str(part))
    if protocol in ("icmp", "icmpv6") and packet.protocol not in (1, 58):
        raise NoMatch
    return Doubt(f"{protocol} {part}")


def _transport(packet: Packet, part: str) -> Value | Doubt:
    if part == "dport":
        return packet.dport
    if part == "sport":
        return (
            Doubt("the source port, which was not given") if packet.sport is None else packet.sport
        )
    if part == "flags" and packet.protocol == 6 and packet.state == NEW:
        return _SYN
    return Doubt(f"{packet.protocol_name} {part}")


def _meta(asked: Asked, body: Mapping[str, Json]) -> Value | Doubt:
    packet, key = asked.packet, str(body.get("key"))
    known: dict[str, Value] = {
        "mark": packet.mark,
        "l4proto": packet.protocol_name,
        "nfproto": "ipv6" if packet.ipv6 else "ipv4",
        "protocol": "ip6" if packet.ipv6 else "ip",
        "iifname": packet.incoming,
        "oifname": packet.outgoing,
        "iif": packet.incoming,
        "oif": packet.outgoing,
    }
    if known.get(key) == UNTOLD:
        return Doubt("the incoming interface, which was not given")
    return known.get(key, Doubt(f"meta {key}"))


def _ct(asked: Asked, body: Mapping[str, Json]) -> Value | Doubt:
    packet, key = asked.packet, str(body.get("key"))
    if key == "state":
        return packet.ct_state.lower()
    if not packet.has_connection:
        raise NoMatch
    if key == "mark":
        return packet.connmark
    if key == "direction":
        return "original"
    if key == "status":
        names = ("snat" if packet.snat else "", "dnat" if packet.dnat else "")
        return ",".join(name for name in names if name)
    if body.get("dir") == "original":
        ends: dict[str, Value] = {
            "ip saddr": packet.original[0],
            "ip6 saddr": packet.original[0],
            "saddr": packet.original[0],
            "ip daddr": packet.original[2],
            "ip6 daddr": packet.original[2],
            "daddr": packet.original[2],
            "proto-dst": packet.original[3],
        }
        return ends.get(key, Doubt(f"ct original {key}"))
    return Doubt(f"ct {key}")


def _fib(asked: Asked, body: Mapping[str, Json]) -> Value | Doubt:
    flags = body.get("flags")
    listed = flags if isinstance(flags, list) else [flags]
    if body.get("result") != "type" or len(listed) != 1:
        return Doubt(f"fib {' . '.join(map(str, listed))} {body.get('result')}")
    packet = asked.packet
    ends = (packet.src, packet.dst) if listed[0] == "saddr" else (packet.dst, packet.src)
    return asked.ground.kind_of(*ends)


_Kind = Callable[[Asked, Mapping[str, Json]], Value | Doubt]
_KINDS: Mapping[str, _Kind] = {"payload": _payload, "meta": _meta, "ct": _ct, "fib": _fib}
