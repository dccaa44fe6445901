"""The connection table as text: ``conntrack -L`` in its forms and ``/proc/net/nf_conntrack``.

One regular expression reads a whole block of lines; the rest is columns. About 400,000
lines a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracer.events import EVENT, EventRows, Flag, Hook, no_records, stacked
from tracer.node.lines import Numbers, Packed, Unread, is_invalid, is_mapped
from tracer.node.mapping import mark_changes

_BLOCK = 1 << 19
"""Bytes read at a time: more only makes the garbage collector slower."""

_ENDS = (
    rb"src=([^ \n]++) dst=([^ \n]++)"
    rb"(?: sport=(\d{1,9}+) dport=(\d{1,9}+)| type=\d++ code=\d++(?: id=(\d{1,9}+))?+)?+"
)
_COUNTERS = rb"(?: packets=(\d++) bytes=\d++)?+"
_LINE = re.compile(
    rb"^(?:(?:ipv[46] ++\d++ ++)?+[^ \n]++ ++(\d{1,9}+) ++(?:[^ \n=]++ ++)*+"
    + (_ENDS + rb"(?: (?!src=|packets=)[a-z-]++=[^ \n]++)*+" + _COUNTERS)
    + rb" (\[UNREPLIED\] )?+"
    + (_ENDS + rb"(?: (?:[a-z]++key|zone-[a-z]++)=[^ \n]++)*+" + _COUNTERS)
    + rb"((?: [^\n]*+)?+)|([^\n]*+))$",
    re.MULTILINE,
)
_PROTOCOL, _UNREPLIED, _REST, _JUNK = 0, 7, 14, 15
_ORIGINAL, _REPLY = 1, 8
_SRC, _DST, _SPORT, _DPORT, _ID, _PACKETS = range(6)
_TALK = re.compile(rb"^(?:\s*|#.*|conntrack v[\d.]+ \(conntrack-tools\):.*)$")
_ENTRY_ID = re.compile(rb" id=(\d{1,10})")

_Columns = list[tuple[bytes, ...]]
_Entries = list[tuple[bytes, ...]]


class _Tails(dict[bytes, int]):
    """The end of a line to its flags, and above 16 bits its id (0 where none was printed)."""

    def __missing__(self, text: bytes) -> int:
        found = _ENTRY_ID.search(text)
        flags = int(Flag.ASSURED) if b"[ASSURED]" in text else 0
        if found:  # with ids every line has another end: not worth remembering
            return flags | int(found[1]) << 16
        self[text] = flags
        return flags


@dataclass(frozen=True, slots=True)
class _Texts:
    """Conversions remembered over the blocks of one table."""

    packed: Packed = field(default_factory=Packed)
    numbers: Numbers = field(default_factory=Numbers)
    tails: _Tails = field(default_factory=_Tails)


def parse(data: bytes, unread: Unread, at_ns: int = 0) -> EventRows:
    """Each entry as CT_NEW with FLAG_EXISTING; what is no entry goes to ``unread``.

    Packets of both directions are in ``seq`` and ``ack`` where accounting was on,
    and the entry's id, where printed, in ``cookie``.
    """
    texts = _Texts()
    blocks = _blocks(_whole(data, unread))
    tables = [_records(block, line, unread, texts) for line, block in blocks]
    records = stacked(tables)
    records["time_ns"] = at_ns
    return records


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about ``_BLOCK`` bytes at a time, with the number of the first."""
    start, line = 0, 1
    while start < len(data):
        end = data.rfind(b"\n", start, start + _BLOCK)
        if end < 0:
            end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield line, data[start:end]
        line += data.count(b"\n", start, end + 1)
        start = end + 1


def _whole(data: bytes, unread: Unread) -> bytes:
    """Without a last line that ends in the middle of an entry: its numbers may be cut.

    Every form ends a line with ``use=``, and then nothing but an id.
    """
    start = data.rfind(b"\n") + 1
    match = _LINE.fullmatch(data, start)
    if start == len(data) or b" use=" in data[start:] or not match or not match[_PROTOCOL + 1]:
        return data
    unread.add(data.count(b"\n") + 1, "cut off", data[start:])
    return data[:start]


def _records(block: bytes, line: int, unread: Unread, texts: _Texts) -> EventRows:
    found: _Entries = _LINE.findall(block)
    columns: _Columns = list(zip(*found, strict=True))
    places: Sequence[int] = range(len(found))
    if b"" in columns[_PROTOCOL]:
        places = _sort_out(found, line, unread)
        columns = list(zip(*(found[place] for place in places), strict=True))
    if not columns:
        return no_records()
    records, usable = _fill(columns, texts)
    for row in np.flatnonzero(~usable):
        place = places[int(row)]
        unread.add(line + place, "no such address or port", b" ".join(found[place][1:5]))
    return records[usable]


def _sort_out(found: _Entries, line: int, unread: Unread) -> list[int]:
    """Numbers of the lines that are entries; the others are listed, unless they are only talk."""
    for number, entry in enumerate(found):
        if not entry[_PROTOCOL] and not _TALK.match(entry[_JUNK]):
            unread.add(line + number, "not a conntrack entry", entry[_JUNK])
    return [number for number, entry in enumerate(found) if entry[_PROTOCOL]]


def _fill(columns: _Columns, texts: _Texts) -> tuple[EventRows, npt.NDArray[np.bool_]]:
    """Rows of a block, and which of them have sound addresses and ports."""
    records = np.zeros(len(columns[0]), dtype=EVENT)
    protocol = texts.numbers.column(columns[_PROTOCOL])
    records["protocol"] = protocol & 0xFF
    usable = protocol < 256
    usable &= _fill_side(records, columns, _ORIGINAL, texts, ("src", "dst"))
    usable &= _fill_side(records, columns, _REPLY, texts, ("nat_dst", "nat_src"))
    records["family"] = np.where(is_mapped(records["src"]), 2, 10)
    for name in ("dst", "nat_src", "nat_dst"):
        usable &= is_mapped(records[name]) == (records["family"] == 2)
    records["seq"] = texts.numbers.column(columns[_ORIGINAL + _PACKETS])
    records["ack"] = texts.numbers.column(columns[_REPLY + _PACKETS])
    _fill_status(records, columns, texts)
    return records, usable


def _fill_side(
    records: EventRows, columns: _Columns, first: int, texts: _Texts, names: tuple[str, str]
) -> npt.NDArray[np.bool_]:
    """One direction's addresses and ports; ICMP has its identifier in both ports."""
    identifier = texts.numbers.column(columns[first + _ID])
    usable = np.ones(len(records), dtype=np.bool_)
    parts = ((_SRC, _SPORT), (_DST, _DPORT))
    for name, (at, port_at) in zip(names, parts, strict=True):
        addresses = texts.packed.column(columns[first + at])
        ports = texts.numbers.column(columns[first + port_at]) | identifier
        records[name] = addresses
        records[f"{name}_port"] = ports & 0xFFFF
        usable &= ~is_invalid(addresses) & (ports < 65536)
    return usable


def _fill_status(records: EventRows, columns: _Columns, texts: _Texts) -> None:
    """Hook, flags and id."""
    count = len(records)
    tails = np.fromiter(map(texts.tails.__getitem__, columns[_REST]), np.uint64, count)
    unreplied = np.fromiter(map(bool, columns[_UNREPLIED]), np.bool_, count)
    records["cookie"] = tails >> np.uint64(16)
    records["hook"] = Hook.CT_NEW
    records["flags"] = (tails & np.uint64(0xFFFF)) | np.uint64(Flag.AFTER | Flag.EXISTING)
    records["flags"] |= np.where(unreplied, 0, Flag.REPLIED).astype(np.uint16)
    mark_changes(records)
