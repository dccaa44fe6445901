"""``ip -j addr``: interfaces and their addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tracer import address
from tracer.node.lines import Unread
from tracer.node.model import InterfaceAddress

_OBJECT = re.compile(r'\{\s*"ifindex"')
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Interfaces:
    """Addresses in the order printed, and names by index."""

    addresses: tuple[InterfaceAddress, ...]
    names: dict[int, str]
    masters: dict[str, str] = field(default_factory=dict)
    """Bridge or bond of each port."""


def parse(text: str, unread: Unread) -> Interfaces:
    """Every interface that can be read, also out of a cut or interrupted listing."""
    addresses: list[InterfaceAddress] = []
    names: dict[int, str] = {}
    masters: dict[str, str] = {}
    for line, entry in _objects(text, unread):
        index, name = entry.get("ifindex"), entry.get("ifname")
        if not isinstance(index, int) or not isinstance(name, str):
            unread.add(line, "interface without index or name")
            continue
        names[index] = name
        if isinstance(master := entry.get("master"), str):
            masters[name] = master
        addresses.extend(_addresses(name, entry.get("addr_info"), line, unread))
    return Interfaces(tuple(addresses), names, masters)


def _objects(text: str, unread: Unread) -> Iterator[tuple[int, dict[str, object]]]:
    """Each interface object with the line it starts on."""
    position = 0
    while match := _OBJECT.search(text, position):
        line = text.count("\n", 0, match.start()) + 1
        try:
            entry, position = _DECODER.raw_decode(text, match.start())
        except (json.JSONDecodeError, RecursionError):
            unread.add(line, "interface cut off or not JSON", text[match.start() :])
            position = match.end()
            continue
        yield line, entry
    if position == 0 and text.strip() not in ("", "[]"):
        unread.add(1, "no interface in it (is it the output of ip -j addr?)", text)


def _addresses(
    interface: str, entries: object, line: int, unread: Unread
) -> Iterator[InterfaceAddress]:
    for entry in entries if isinstance(entries, list) else ():
        local = entry.get("local") if isinstance(entry, dict) else None
        if local is None:
            continue
        prefix = entry.get("prefixlen")
        try:
            yield InterfaceAddress(
                interface,
                address.parse(str(local)),
                prefix if isinstance(prefix, int) else 0,
                str(entry.get("scope", "global")),
                bool(entry.get("secondary")) and ":" not in str(local),
            )
        except ValueError:
            unread.add(line, f"no such address on {interface}", str(local))
