"""Hand-made BTF, so that tests of the reader need no kernel."""

from __future__ import annotations

import struct

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, FUNC, PROTO, ENUM64 = (
    1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 19,
)  # fmt: skip


class Blob:
    """Collects types; each ``add`` gives the number of the type."""

    def __init__(self, first_type: int = 1, first_text: int = 0) -> None:
        self._texts = b"" if first_text else b"\0"
        self._first_text = first_text
        self._types = b""
        self._next = first_type

    def text(self, name: str) -> int:
        if not name:
            return 0
        known = (b"\0" + self._texts).find(b"\0" + name.encode() + b"\0")
        if known >= 0:
            return known + self._first_text
        offset = len(self._texts) + self._first_text
        self._texts += name.encode() + b"\0"
        return offset

    def add(
        self, name: str, kind: int, size: int, count: int, *tail: int, bits: bool = False
    ) -> int:
        info = kind << 24 | count | bits << 31
        self._types += struct.pack(f"=III{len(tail)}I", self.text(name), info, size, *tail)
        self._next += 1
        return self._next - 1

    def structure(
        self, name: str, size: int, *members: tuple[str, int, int], kind: int = STRUCT
    ) -> int:
        tail = [part for member, number, at in members for part in (self.text(member), number, at)]
        return self.add(name, kind, size, len(members), *tail)

    def function(self, name: str, *parameters: str) -> int:
        tail = [part for parameter in parameters for part in (self.text(parameter), 0)]
        return self.add(name, FUNC, self.add("", PROTO, 0, len(parameters), *tail), 0)

    def bytes(self) -> bytes:
        sizes = (0, len(self._types), len(self._types), len(self._texts))
        return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + self._types + self._texts

    @property
    def types(self) -> int:
        return self._next

    @property
    def texts(self) -> int:
        return self._first_text + len(self._texts)
