"""YAML text -> plain values with line numbers, in one pass over libyaml's events.

PyYAML's own constructors are not used: they cost five times as much, recurse
(deep nesting ends the interpreter), read ``1:2:3`` as a number, and fail with
other errors than YAMLError on odd scalars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

DEPTH_LIMIT = 100
ALIAS_LIMIT = 100_000
"""Nodes that the aliases of one document may add."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MEANINGS: tuple[tuple[bool | None, str], ...] = (
    (None, "null"),
    (True, "true yes on"),
    (False, "false no off"),
)
_WORDS: dict[str, bool | None] = {"": None, "~": None}
for _meaning, _words in _MEANINGS:
    for _word in _words.split():
        _WORDS |= dict.fromkeys((_word, _word.capitalize(), _word.upper()), _meaning)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})$")


class BrokenError(ValueError):
    """Text that is not what it should be; lines and columns count from 1."""

    def __init__(self, what: str, line: int, column: int = 1, since: int = 0) -> None:
        super().__init__(what)
        self.line = line
        self.column = column
        self.since = since or line
        """Where the construct that could not be finished began."""


class Mapping(dict[object, object]):
    """A mapping that knows on which line of the file it begins."""

    __slots__ = ("line",)

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    value: Mapping | list[object]
    anchor: str | None
    size_before: int
    key: str | None = None


class _Builder:
    """Values out of events, without recursion; one per stretch of text."""

    def __init__(self, line_offset: int) -> None:
        self.line_offset = line_offset
        self.documents: list[object] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._size = 0
        self._aliased = 0

    def take(self, event: yaml.Event) -> None:
        """One event; BrokenError where this is not a value Kubernetes could hold."""
        if isinstance(event, ScalarEvent):
            self._size += 1
            plain = event.tag is None and event.implicit[0]
            value = _plain(event.value) if plain else event.value
            self._place(value, event)
            if event.anchor:
                self._anchors[event.anchor] = (value, 1)
        elif isinstance(event, CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, CollectionEndEvent):
            self._end(event)
        elif isinstance(event, AliasEvent):
            self._alias(event)

    def _line(self, event: yaml.Event) -> int:
        return (event.start_mark.line if event.start_mark else 0) + 1 + self.line_offset

    def _broken(self, what: str, event: yaml.Event) -> BrokenError:
        column = event.start_mark.column + 1 if event.start_mark else 1
        return BrokenError(what, self._line(event), column)

    def _place(self, value: object, event: yaml.Event) -> None:
        """Put a value where the innermost open collection awaits one."""
        if not self._open:
            self.documents.append(value)
            return
        inner = self._open[-1]
        if isinstance(inner.value, list):
            inner.value.append(value)
        elif inner.key is None:
            if not isinstance(event, ScalarEvent):
                raise self._broken("a key that is not text", event)
            inner.key = event.value
        else:
            inner.value[inner.key] = value
            inner.key = None

    def _begin(self, event: CollectionStartEvent) -> None:
        if len(self._open) == DEPTH_LIMIT:
            raise self._broken(f"nested more than {DEPTH_LIMIT} deep", event)
        mapping = isinstance(event, MappingStartEvent)
        value: Mapping | list[object] = Mapping(self._line(event)) if mapping else []
        self._place(value, event)
        self._open.append(_Open(value, event.anchor, self._size))
        self._size += 1

    def _end(self, event: yaml.Event) -> None:
        ended = self._open.pop()
        if ended.anchor:
            self._anchors[ended.anchor] = (ended.value, self._size - ended.size_before)
        if isinstance(ended.value, Mapping):
            _inherit(ended.value, ended.value.pop("<<", None))

    def _alias(self, event: NodeEvent) -> None:
        """The anchored value itself, not a copy; but its size counts as if it were one."""
        known = self._anchors.get(event.anchor or "")
        if known is None:
            raise self._broken("an alias without a finished anchor", event)
        value, size = known
        self._size += size
        self._aliased += size
        if self._aliased > ALIAS_LIMIT:
            raise self._broken(f"aliases that stand for more than {ALIAS_LIMIT} values", event)
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            raise self._broken("an alias as a key", event)
        self._place(value, event)


def _inherit(mapping: Mapping, merged: object) -> None:
    """What a merge key (``<<``) stands for: keys of other mappings, where not given here."""
    for inherited in merged if isinstance(merged, list) else [merged]:
        if isinstance(inherited, Mapping):
            for key, value in inherited.items():
                mapping.setdefault(key, value)


def _plain(text: str) -> object:
    """A plain scalar as the API server would read it; numbers with a fraction stay text."""
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _INTEGER.match(text) else text


def parse(text: str, line_offset: int = 0) -> list[object]:
    """Every document of a text; BrokenError where it is not YAML."""
    builder = _Builder(line_offset)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark, since = error.problem_mark, error.context_mark
        line = mark.line + 1 + line_offset if mark else line_offset + 1
        raise BrokenError(
            ": ".join(part for part in (error.context, error.problem) if part),
            line,
            mark.column + 1 if mark else 1,
            since.line + 1 + line_offset if since else line,
        ) from error
    except yaml.YAMLError as error:
        raise BrokenError(str(error).partition("\n")[0], line_offset + 1) from error
    return builder.documents


_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_CONTENT = re.compile(r"^(?![ \t]*(#|$)|%|---[ \t]*$|\.\.\.)", re.MULTILINE)
_ITEMS = re.compile(r"^items:[ \t]*\r?\n([ ]*)- ", re.MULTILINE)


def read(text: str) -> Iterator[object | BrokenError]:
    """Each document, read on its own, so that a broken one costs only itself.

    A broken List still gives the items before the break.
    """
    starts = [0, *(found.start() for found in _SEPARATOR.finditer(text) if found.start())]
    line = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        stretch = text[start:end]
        if _CONTENT.search(stretch):
            try:
                yield from parse(stretch, line)
            except BrokenError as error:
                yield from _items_before(stretch, line, error)
                yield error
        line += stretch.count("\n")


def _items_before(stretch: str, line_offset: int, error: BrokenError) -> list[object]:
    """The documents of a stretch cut before the List item that could not be read."""
    items = _ITEMS.search(stretch)
    if items is None:
        return []
    first, dash = stretch[: items.start()].count("\n") + 1, f"{items[1]}- "
    lines = stretch.splitlines(keepends=True)
    for broken in (error.line, error.since):
        cut = min(broken - line_offset, len(lines) - 1)
        while cut > first and not lines[cut].startswith(dash):
            cut -= 1
        if cut > first:
            try:
                return parse("".join(lines[:cut]), line_offset)
            except BrokenError:
                continue
    return []
