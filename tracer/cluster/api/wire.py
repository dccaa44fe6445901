"""Bytes of the API server -> values of the model.

Each kind is decoded into structs that hold only the fields that are read, so that the
greater part of a Pod is skipped and never becomes an object. Where an object does not fit
its struct it is decoded whole, and what is wrong with it is noted field by field, as for files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tracer.cluster import objects
from tracer.cluster.api.kinds import Key, Kind, Value
from tracer.cluster.fields import Fields, Part, UnusableError, printable


class GarbledError(ValueError):
    """This is not what an API server sends."""


class _ListMeta(msgspec.Struct, gc=False):
    version: str = msgspec.field(default="", name="resourceVersion")
    next: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _VersionMeta(msgspec.Struct, gc=False):
    version: str = msgspec.field(default="", name="resourceVersion")


class _Versioned(msgspec.Struct, gc=False):
    metadata: _VersionMeta


class Status(msgspec.Struct, gc=False):
    """The API server's own words for an error."""

    code: int = 0
    reason: str = ""
    message: str = ""


_PAGE = msgspec.json.Decoder(_Page)
_EVENT = msgspec.json.Decoder(_Event)
_VERSIONED = msgspec.json.Decoder(_Versioned)
_STATUS = msgspec.json.Decoder(Status)


@dataclass(frozen=True, slots=True)
class Reading:
    """One object as it was read."""

    key: Key
    value: Value | None
    """None for an object that cannot be used, or that is gone."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list."""

    readings: list[Reading]
    version: str
    next: str
    """Where the list goes on; empty at its end."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch."""

    type: str
    version: str = ""
    reading: Reading | None = None
    status: Status | None = None


def status(body: bytes) -> Status:
    """What an answer that is no success says of itself."""
    try:
        return _STATUS.decode(body)
    except msgspec.DecodeError:
        return Status()


class Decoder:
    """Decodes lists and events of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._object = msgspec.json.Decoder(shape(kind.name, kind.kept))

    def page(self, body: bytes | bytearray) -> Page:
        """One page of a list; ``GarbledError`` if it is none."""
        try:
            page = _PAGE.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise GarbledError(f"a list of {self._kind.name} is not readable: {error}") from error
        readings = [self._reading(raw) for raw in page.items or ()]
        return Page(readings, page.metadata.version, page.metadata.next)

    def event(self, line: bytes | bytearray) -> Event:
        """One line of a watch; ``GarbledError`` if it is none."""
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                return Event(event.type, status=status(bytes(event.object)))
            version = _VERSIONED.decode(event.object).metadata.version
        except (msgspec.DecodeError, RecursionError) as error:
            raise GarbledError(f"an event of {self._kind.name} is not readable: {error}") from error
        if event.type == "BOOKMARK":
            return Event(event.type, version)
        reading = self._reading(event.object)
        if event.type == "DELETED":
            reading = Reading(reading.key, None)
        return Event(event.type, version, reading)

    def _reading(self, raw: msgspec.Raw) -> Reading:
        notes: list[str] = []
        key: Key = ("", "")
        value: Value | None = None
        try:
            fields = Fields(self._decoded(raw), notes)
            key = objects.identity(fields)
            value = self._kind.read(fields)
        except UnusableError as error:
            notes.append(str(error))
        if not notes:
            return Reading(key, value)
        subject = f"{self._kind.name} {printable(key[0])}/{printable(key[1])}"
        return Reading(key, value, tuple(f"{subject}: {note}" for note in dict.fromkeys(notes)))

    def _decoded(self, raw: msgspec.Raw) -> object:
        try:
            return self._object.decode(raw)
        except (msgspec.ValidationError, RecursionError):
            pass
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise UnusableError(f"it is not readable: {error}") from error


def shape(name: str, kept: Mapping[str, object]) -> type[msgspec.Struct]:
    """The struct for these fields; see ``Kind.kept``."""
    fields = [(key, _type(f"{name}_{key}", tree), None) for key, tree in kept.items()]
    return msgspec.defstruct(name, fields, bases=(_Kept,), gc=False)


class _Kept(Part, msgspec.Struct, gc=False):
    """A struct that ``Fields`` reads like a mapping."""


def _type(name: str, tree: object) -> Any:
    if isinstance(tree, Mapping):
        return shape(name, tree) | None
    if isinstance(tree, list):
        return list[shape(name, tree[0]) | None] | None  # type: ignore[misc]
    return object
