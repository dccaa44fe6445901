"""JSON text -> plain values: one document, several in a row, or as much as a cut file holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from tracer.cluster.yaml_documents import BrokenError

_GAP_END = re.compile(r"[^\s,]|\Z")
_ITEMS = re.compile(r'"items"\s*:\s*\[')


def read(text: str) -> Iterator[object | BrokenError]:
    """Each document; a broken List still gives the items before the break."""
    try:
        yield msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        yield from _one_after_another(text)


def _one_after_another(text: str) -> Iterator[object | BrokenError]:
    """Documents in a row, to the first broken one."""
    position = _after_gap(text, 0)
    while position < len(text):
        value, end = _decode(text, position)
        if isinstance(value, BrokenError):
            items = _ITEMS.search(text, position)
            if items is not None:
                yield from _items(text, items.end())
            yield value
            return
        yield value
        position = _after_gap(text, end)


def _items(text: str, position: int) -> Iterator[object]:
    """The items of a List, to the first broken one."""
    while True:
        value, end = _decode(text, _after_gap(text, position))
        if isinstance(value, BrokenError):
            return
        yield value
        position = end


def _after_gap(text: str, position: int) -> int:
    found = _GAP_END.search(text, position)
    return found.start() if found else len(text)


def _decode(text: str, position: int) -> tuple[object | BrokenError, int]:
    """One value and where it ends."""
    try:
        return json.JSONDecoder().raw_decode(text, position)
    except json.JSONDecodeError as error:
        return BrokenError(error.msg, error.lineno, error.colno), position
    except (ValueError, RecursionError) as error:
        line = text.count("\n", 0, position) + 1
        return BrokenError(f"{type(error).__name__}: {error}", line), position
