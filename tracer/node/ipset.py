"""``ipset save`` and ``ipset list``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracer.node.lines import Unread
from tracer.node.sets import AddressSet

_FIELD = re.compile(
    r"(Name|Type|Header|Revision|Size in memory|References|Number of entries): ?(.*)"
)
_MEMBER = re.compile(r"[0-9A-Za-z:.,/_-]+$")


class _Sets:
    """Sets as they are read, in the order of the text."""

    def __init__(self) -> None:
        self.kinds: dict[str, tuple[str, bool]] = {}
        self.members: dict[str, list[str]] = {}
        self.excluded: dict[str, set[str]] = {}
        self.listed = ""
        """The set whose listing goes on."""

    def create(self, name: str, kind: str, header: str) -> None:
        """A set without members so far; the header tells its family."""
        if "netmask" in header or "bitmask" in header:
            kind = f"{kind} masked"  # members are compared in a way of their own
        self.kinds[name] = (kind, "family inet6" in header)
        self.members.setdefault(name, [])

    def add(self, name: str, words: list[str]) -> None:
        """A member with its options; ValueError if it is none."""
        if name not in self.members or not words or not _MEMBER.match(words[0]):
            raise ValueError(name)
        if "nomatch" in words[1:]:
            self.excluded.setdefault(name, set()).add(words[0])
        self.members[name].append(words[0])

    def result(self) -> Iterator[AddressSet]:
        """Every set as a value."""
        for name, (kind, ipv6) in self.kinds.items():
            excluded = frozenset(self.excluded.get(name, ()))
            yield AddressSet(name, kind, ipv6, tuple(self.members[name]), excluded)


def parse(text: str, unread: Unread) -> tuple[AddressSet, ...]:
    """Every set, in either form; lines that fit neither are named."""
    sets = _Sets()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            _read(sets, line)
        except (ValueError, IndexError):
            unread.add(number, "not a line of ipset save or list", line)
    return tuple(sets.result())


def _read(sets: _Sets, line: str) -> None:
    words = line.split()
    if not words:
        sets.listed = ""
    elif words[0] == "create":
        sets.listed = ""
        sets.create(words[1], words[2], " ".join(words[3:]))
    elif words[0] == "add":
        sets.add(words[1], words[2:])
    elif field := _FIELD.match(line):
        _header(sets, field[1], field[2])
    elif line.strip() != "Members:":
        sets.add(sets.listed, words)


def _header(sets: _Sets, name: str, value: str) -> None:
    if name == "Name":
        sets.listed = value.strip()
        sets.create(sets.listed, "", "")
    elif name in ("Type", "Header"):
        kind, _ = sets.kinds[sets.listed] if sets.listed in sets.kinds else _stray(name)
        sets.create(sets.listed, value if name == "Type" else kind, value)


def _stray(name: str) -> tuple[str, bool]:
    raise ValueError(name)
