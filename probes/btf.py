"""BTF: the kernel's own description of its types, read without any library.

The format is in the kernel's Documentation/bpf/btf.rst. A module's BTF is *split*:
its type numbers and string offsets continue where those of vmlinux end.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

MAGIC = 0xEB9F
HEADER = struct.Struct("=HBBIIIII")


class Kind(IntEnum):
    """Kinds of types that are looked at here (BTF_KIND_*)."""

    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    TYPE_TAG = 18
    ENUM64 = 19


_FIXED_WORDS = (0, 4, 3, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 4, 3, 3)
"""32-bit words of a type of each kind, without its members."""
_MEMBER_WORDS = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)
_TRANSPARENT = (Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG)


class BtfError(ValueError):
    """The bytes are not BTF, or are damaged."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where a member lies in its outermost structure."""

    offset_bits: int
    size: int
    """Bytes of its type."""
    bits: int = 0
    """Width of a bit field; 0 for an ordinary member."""

    @property
    def offset(self) -> int:
        """Bytes from the start of the structure."""
        return self.offset_bits // 8


class Btf:
    """The types of vmlinux, or of one module on top of them."""

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        if len(data) < HEADER.size:
            raise BtfError("shorter than a BTF header")
        magic, version, _, header, type_at, type_size, text_at, text_size = HEADER.unpack_from(data)
        if magic != MAGIC or version != 1:
            raise BtfError(f"magic {magic:#x} version {version} is not BTF of this machine")
        if header + max(type_at + type_size, text_at + text_size) > len(data):
            raise BtfError("shorter than its header says")
        self._base = base
        self._offsets: dict[str, int | None] = {}
        self._texts: bytes = data[header + text_at : header + text_at + text_size]
        self._first_text: int = base._first_text + len(base._texts) if base else 0
        self._first_type: int = base._first_type + len(base._starts) if base else 1
        self._words = array("I", data[header + type_at : header + type_at + type_size])
        starts, index = _index(self._words, self._first_type)
        self._starts: array[int] = starts
        self._index: dict[int, int] = index

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, name: str, *kinds: Kind) -> int | None:
        """Number of the type of this name and one of these kinds, here or in the base."""
        offset = self._text_offset(name)
        for kind in kinds:
            if offset is not None and (number := self._index.get(offset << 5 | kind)) is not None:
                return number
        return self._base.find(name, *kinds) if self._base else None

    def size(self, name: str) -> int | None:
        """Bytes of a structure or union."""
        number = self.find(name, Kind.STRUCT, Kind.UNION)
        return None if number is None else self._size(number)

    def field(self, structure: str, path: str) -> Field | None:
        """A member by its dotted path; members of anonymous unions and structures count too."""
        number = self.find(structure, Kind.STRUCT, Kind.UNION)
        offset, found = 0, None
        for name in path.split("."):
            found = None if number is None else self._member(number, name)
            if found is None:
                return None
            member, number = found
            offset += member.offset_bits
        assert found is not None
        return Field(offset, found[0].size, found[0].bits)

    def parameters(self, function: str) -> tuple[str, ...] | None:
        """Parameter names of a function in order; None when BTF does not know it."""
        number = self.find(function, Kind.FUNC)
        return None if number is None else self._parameters(self._reference(number))

    def tracepoint_arguments(self, tracepoint: str) -> int | None:
        """How many arguments a raw tracepoint hands out, from ``btf_trace_<name>``."""
        number = self.find(f"btf_trace_{tracepoint}", Kind.TYPEDEF)
        if number is None:
            return None
        while self._kind(number) in (*_TRANSPARENT, Kind.PTR):
            number = self._reference(number)
        return len(self._parameters(number)) - 1  # the first one is the probe's private data

    def enumeration(self, name: str) -> Mapping[str, int]:
        """Names and values of an enum; empty when BTF does not know it."""
        number = self.find(name, Kind.ENUM, Kind.ENUM64)
        if number is None:
            return {}
        owner, start, kind, count = self._open(number)
        step = _MEMBER_WORDS[kind]
        words = owner._words[start + 3 : start + 3 + step * count]
        return {self._text(words[at]): words[at + 1] for at in range(0, len(words), step)}

    def _open(self, number: int) -> tuple[Btf, int, int, int]:
        """Owner, position of the first word, kind and member count of a type."""
        owner = self
        while number < owner._first_type and owner._base is not None:
            owner = owner._base
        start = owner._starts[number - owner._first_type]
        info = owner._words[start + 1]
        return owner, start, info >> 24 & 0x1F, info & 0xFFFF

    def _kind(self, number: int) -> int:
        return self._open(number)[2] if number else 0

    def _reference(self, number: int) -> int:
        owner, start, _, _ = self._open(number)
        return owner._words[start + 2]

    def _parameters(self, number: int) -> tuple[str, ...]:
        owner, start, _, count = self._open(number)
        return tuple(self._text(owner._words[start + 3 + 2 * i]) for i in range(count))

    def _resolve(self, number: int) -> int:
        while self._kind(number) in _TRANSPARENT:
            number = self._reference(number)
        return number

    def _size(self, number: int) -> int:
        number = self._resolve(number)
        if not number:
            return 0
        owner, start, kind, _ = self._open(number)
        if kind == Kind.PTR:
            return struct.calcsize("P")
        if kind == Kind.ARRAY:
            return self._size(owner._words[start + 3]) * owner._words[start + 5]
        return owner._words[start + 2]

    def _member(self, number: int, name: str) -> tuple[Field, int] | None:
        """A direct member, or one of an anonymous structure or union inside, with its type."""
        number = self._resolve(number)
        owner, start, kind, count = self._open(number)
        if kind not in (Kind.STRUCT, Kind.UNION):
            return None
        has_bits = owner._words[start + 1] >> 31
        for at in range(start + 3, start + 3 + 3 * count, 3):
            text, member_type, place = owner._words[at : at + 3]
            offset, bits = (place & 0xFFFFFF, place >> 24) if has_bits else (place, 0)
            if text and self._text(text) == name:
                return Field(offset, self._size(member_type), bits), member_type
            if not text and (inner := self._member(member_type, name)):
                return Field(offset + inner[0].offset_bits, inner[0].size, inner[0].bits), inner[1]
        return None

    def _text(self, offset: int) -> str:
        if offset < self._first_text and self._base is not None:
            return self._base._text(offset)
        start = offset - self._first_text
        return self._texts[start : self._texts.index(0, start)].decode(errors="replace")

    def _text_offset(self, name: str) -> int | None:
        """Where a name stands; BTF holds each string once. A split part may use the base's."""
        if name not in self._offsets:
            offset = self._base._text_offset(name) if self._base else None
            if offset is None:
                found = self._texts.find(b"\0" + name.encode() + b"\0")
                offset = None if found < 0 else found + 1 + self._first_text
            self._offsets[name] = offset
        return self._offsets[name]


def _index(words: array[int], number: int) -> tuple[array[int], dict[int, int]]:
    """Position of each type, and type numbers by ``name offset << 5 | kind``, first one first."""
    starts, index = array("I"), dict[int, int]()
    position, end = 0, len(words)
    try:
        while position < end:
            info = words[position + 1]
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            name = words[position]
            # An enum without values is a forward declaration.
            if name and (count or kind != 6):
                index.setdefault(name << 5 | kind, number)
            starts.append(position)
            number += 1
            position += (_FIXED_WORDS[kind] or end) + _MEMBER_WORDS[kind] * count
    except IndexError as error:
        raise BtfError("a type of unknown kind or a cut-off type") from error
    return starts, index


class Types:
    """Everything BTF tells about the running kernel: vmlinux and the modules asked for."""

    def __init__(self, root: Path = Path("/"), modules: Iterable[str] = ()) -> None:
        self._folder = root / "sys/kernel/btf"
        self.vmlinux = Btf((self._folder / "vmlinux").read_bytes())
        self.parts = [self.vmlinux]
        for module in modules:
            path = self._folder / module
            if path.exists():
                self.parts.append(Btf(path.read_bytes(), self.vmlinux))

    def size(self, name: str) -> int | None:
        """Bytes of a structure, wherever it is described."""
        return next((size for part in self.parts if (size := part.size(name)) is not None), None)

    def field(self, structure: str, path: str) -> Field | None:
        """A member of a structure, wherever it is described."""
        return next((field for part in self.parts if (field := part.field(structure, path))), None)

    def parameters(self, function: str) -> tuple[str, ...] | None:
        """Parameter names of a function; None when no part describes it."""
        for part in self.parts:
            if (names := part.parameters(function)) is not None:
                return names
        return None

    def enumeration(self, name: str) -> Mapping[str, int]:
        """Names and values of an enum, wherever it is described."""
        return next((values for part in self.parts if (values := part.enumeration(name))), {})

    def tracepoint_arguments(self, tracepoint: str) -> int | None:
        """How many arguments a raw tracepoint of vmlinux hands out."""
        return self.vmlinux.tracepoint_arguments(tracepoint)
