"""Reading an object whose shape nobody checked: wrong types become notes, never exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracer import address
from tracer.plain import harmless, shortened

SHOWN_LENGTH = 60
"""Characters of a foreign value that a note quotes."""
NAME_LENGTH = 253
"""The longest name Kubernetes allows; a longer one is kept, but not shown in full."""


class UnusableError(ValueError):
    """This object cannot be used at all; the text says why."""


def shown(value: object) -> str:
    """A foreign value for a message: short, on one line, without control characters."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    text = repr(value[:SHOWN_LENGTH]) if isinstance(value, str) else repr(value)
    return shortened(harmless(text), SHOWN_LENGTH)


def printable(text: str) -> str:
    """A name for a message: as it is, unless a terminal should not see it raw."""
    return shortened(harmless(text[: 2 * NAME_LENGTH]), NAME_LENGTH)


def encodable(text: str) -> str:
    """The text without halves of surrogate pairs: JSON can spell them, no output can."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Part:
    """A mapping whose keys are known beforehand, kept as attributes."""

    __slots__ = ()

    def get(self, key: str) -> object:
        """The value under a key; None where the object has none."""
        return getattr(self, key, None)


class Fields:
    """One mapping of an object; null and missing are the same, as in the Kubernetes API."""

    __slots__ = ("_notes", "_path", "_raw")

    def __init__(self, raw: object, notes: list[str], path: str = "") -> None:
        self._path = path
        self._notes = notes
        if isinstance(raw, Part | Mapping):
            self._raw: Part | Mapping[object, object] = raw
        else:
            self._raw = {}
            if raw is not None:
                self.note("", raw, "a mapping")

    def note(self, key: str, value: object, wanted: str) -> None:
        """Remember that a value was not what it should be."""
        path = ".".join(part for part in (self._path, key) if part) or "the object"
        self._notes.append(f"{path}: {shown(value)} is not {wanted}")

    def raw(self, key: str) -> object:
        """The value as it stands, None if there is none."""
        return self._raw.get(key)

    def text(self, key: str, default: str = "") -> str:
        """Text that can be encoded; the default where it is missing, empty or something else."""
        value = self._raw.get(key)
        if isinstance(value, str):
            return encodable(value) or default
        if value is not None:
            self.note(key, value, "text")
        return default

    def choice(self, key: str, among: tuple[str, ...]) -> str:
        """One of a few words; the first is the default."""
        value = self.text(key, among[0])
        if value not in among:
            self.note(key, value, "one of " + ", ".join(among))
            return among[0]
        return value

    def number(self, key: str, high: int = 65535) -> int:
        """A number from 1 to ``high``; 0 where it is missing, 0 or something else."""
        value = self._raw.get(key)
        if value is None or (type(value) is int and 0 <= value <= high):
            return int(value or 0)
        self.note(key, value, f"a number from 1 to {high}")
        return 0

    def flag(self, key: str) -> bool | None:
        """True or false; None where the object does not say."""
        value = self._raw.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.note(key, value, "true or false")
        return None

    def child(self, key: str) -> Fields:
        """The mapping below a key; an empty one where there is none."""
        return Fields(self._raw.get(key), self._notes, f"{self._path}.{key}".lstrip("."))

    def children(self, key: str) -> Iterator[Fields]:
        """The mappings of the list below a key."""
        for position, item in enumerate(self.items(key)):
            yield Fields(item, self._notes, f"{self._path}.{key}[{position}]".lstrip("."))

    def items(self, key: str) -> list[object]:
        """The list below a key."""
        value = self._raw.get(key)
        if isinstance(value, list):
            return value
        if value is not None:
            self.note(key, value, "a list")
        return []

    def texts(self, key: str) -> tuple[str, ...]:
        """The non-empty texts of the list below a key."""
        found = []
        for position, item in enumerate(self.items(key)):
            if isinstance(item, str) and item:
                found.append(encodable(item))
            elif item is not None and item != "":
                self.note(f"{key}[{position}]", item, "text")
        return tuple(found)

    def address(self, key: str) -> bytes | None:
        """16 packed bytes of the address below a key."""
        text = self.text(key)
        return self._parsed(key, text) if text else None

    def addresses(self, key: str) -> tuple[bytes, ...]:
        """The addresses of the list below a key, each once; what is none is noted."""
        found = (
            self._parsed(f"{key}[{position}]", text)
            for position, text in enumerate(self.texts(key))
        )
        return tuple(dict.fromkeys(packed for packed in found if packed is not None))

    def mapping(self, key: str) -> dict[str, str]:
        """A mapping of text to text, such as labels."""
        child = self.child(key)
        names = child._raw if isinstance(child._raw, Mapping) else ()
        return {name: child.text(name) for name in names if isinstance(name, str)}

    def _parsed(self, key: str, text: str) -> bytes | None:
        try:
            return address.parse(text)
        except ValueError:
            self.note(key, text, "an IP address")
            return None
