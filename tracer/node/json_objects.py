"""Objects out of JSON listings that may be cut, interrupted, or several in a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tracer.node.lines import Unread

_DECODER = json.JSONDecoder()
_SEPARATORS = re.compile(r"[\s\[\],]*")
_NEXT = re.compile(r"\{")


def objects(text: str, unread: Unread, what: str) -> Iterator[tuple[int, dict[str, object]]]:
    """Each object of one or more arrays with the line it starts on."""
    position, line, counted = 0, 1, 0
    while True:
        position = _SEPARATORS.match(text, position).end()  # type: ignore[union-attr]
        if position >= len(text):
            return
        line += text.count("\n", counted, position)
        counted = position
        try:
            entry, position = _DECODER.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):
            unread.add(line, f"{what} cut off or not JSON", text[position : position + 60])
            after = _NEXT.search(text, position + 1)
            position = after.start() if after else len(text)
            continue
        if isinstance(entry, dict):
            yield line, entry
        else:
            unread.add(line, f"not {what}", str(entry))
