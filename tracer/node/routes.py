"""``ip -j route show table all``, ``ip -j rule`` and ``ip -j neigh``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracer.address import is_ipv4
from tracer.node.json_objects import objects
from tracer.node.lines import Unread, packed
from tracer.node.routing import Neighbour, NextHop, PolicyRule, Route

_KNOWN_SELECTORS = {
    *("priority", "src", "srclen", "dst", "dstlen", "fwmark", "fwmask", "iif", "oif", "not"),
    *("table", "action", "suppress_prefixlen", "protocol", "iif_detached", "oif_detached"),
}
_UNUSABLE = {"dead", "linkdown"}
_Entry = Mapping[str, object]


def parse_routes(text: str, unread: Unread) -> tuple[Route, ...]:
    """Every route of every table; one that cannot be read is named."""
    found = []
    for line, entry in objects(text, unread, "a route"):
        try:
            found.append(_route(entry, line))
        except ValueError as error:
            unread.add(line, "not a route", str(error))
    return tuple(found)


def _route(entry: _Entry, line: int) -> Route:
    destination = str(entry.get("dst", ""))
    hops = tuple(_hops(entry))
    network, prefix, ipv6 = _network(destination, entry, hops)
    flags = entry.get("flags")
    return Route(
        table=str(entry.get("table", "main")),
        kind=str(entry.get("type", "unicast")),
        network=network,
        prefix=prefix,
        ipv6=ipv6,
        metric=_number(entry.get("metric", 0)),
        hops=hops,
        source=packed(str(entry["prefsrc"])) if "prefsrc" in entry else b"",
        usable=not _UNUSABLE.intersection(flags if isinstance(flags, list) else ()),
        line=line,
    )


def _hops(entry: _Entry) -> Iterator[NextHop]:
    nested = entry.get("nexthops")
    for hop in nested if isinstance(nested, list) else [entry]:
        if not isinstance(hop, dict):
            raise ValueError(str(hop))
        via = hop.get("via")
        gateway = hop.get("gateway") or (via.get("host") if isinstance(via, dict) else None)
        if gateway or "dev" in hop:
            way = packed(str(gateway)) if gateway else b""
            yield NextHop(str(hop.get("dev", "")), way, max(1, _number(hop.get("weight", 1))))


def _network(text: str, entry: _Entry, hops: tuple[NextHop, ...]) -> tuple[bytes, int, bool]:
    """A default route names no family: its gateway, its source or IPv6's ``pref`` do."""
    if text == "default":
        telling = [hop.gateway for hop in hops if hop.gateway]
        ipv6 = not is_ipv4(telling[0]) if telling else "pref" in entry
        return (bytes(16), 0, True) if ipv6 else (packed("0.0.0.0"), 96, False)
    host, slash, length = text.partition("/")
    network = packed(_whole(host))
    ipv6 = not is_ipv4(network)
    bits = int(length) if slash else 128 if ipv6 else 32
    if not 0 <= bits <= (128 if ipv6 else 32):
        raise ValueError(text)
    return network, bits + (0 if ipv6 else 96), ipv6


def _whole(host: str) -> str:
    """``10.1`` as older tools shorten ``10.1.0.0``."""
    if ":" in host or not host:
        return host
    return host + ".0" * (3 - host.count("."))


def parse_rules(text: str, unread: Unread) -> tuple[PolicyRule, ...]:
    """Every policy rule; those of IPv6 are told by their addresses or by the second listing.

    ``ip -j rule`` and ``ip -j -6 rule`` print the same fields: where a file holds both, the
    second starts again with a priority that is not above the last.
    """
    found: list[PolicyRule] = []
    ipv6 = False
    last = -1
    for line, entry in objects(text, unread, "a policy rule"):
        try:
            priority = _number(entry.get("priority", 0))
            ipv6 = ipv6 or priority < last
            last = priority
            found.append(_rule(entry, priority, ipv6))
        except ValueError as error:
            unread.add(line, "not a policy rule", str(error))
    return tuple(found)


def _rule(entry: _Entry, priority: int, ipv6: bool) -> PolicyRule:
    unknown = tuple(sorted(set(entry) - _KNOWN_SELECTORS))
    mark = _number(entry.get("fwmark", 0))
    mask = _number(entry.get("fwmask", 0xFFFFFFFF if "fwmark" in entry else 0))
    suppress = entry.get("suppress_prefixlen", -1)
    return PolicyRule(
        priority=priority,
        ipv6=ipv6,
        table=str(entry.get("table", "")),
        action=str(entry.get("action", "table")),
        source=_selector(entry, "src"),
        destination=_selector(entry, "dst"),
        incoming=str(entry.get("iif", "")),
        outgoing=str(entry.get("oif", "")),
        mark=mark,
        mask=mask,
        inverted="not" in entry,
        suppress_prefix=_number(suppress),
        unknown=unknown,
    )


def _selector(entry: _Entry, name: str) -> str:
    host = str(entry.get(name, "all"))
    if host == "all":
        return ""
    highest = 32 if is_ipv4(packed(_whole(host))) else 128
    length = _number(entry.get(f"{name}len", highest))
    if not 0 <= length <= highest:
        raise ValueError(f"{host}/{length}")
    return f"{_whole(host)}/{length}"


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(str(value))
    return value if isinstance(value, int) else int(value, 0)


def parse_neighbours(text: str, unread: Unread) -> tuple[Neighbour, ...]:
    """Every neighbour with its states."""
    found = []
    for line, entry in objects(text, unread, "a neighbour"):
        states = entry.get("state")
        names = tuple(map(str, states)) if isinstance(states, list) else ()
        try:
            ip = packed(str(entry.get("dst", "")))
        except ValueError as error:
            unread.add(line, "not a neighbour", str(error))
            continue
        found.append(Neighbour(ip, str(entry.get("dev", "")), names))
    return tuple(found)
