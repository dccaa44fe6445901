"""Lines that go on under their own text: what is wrapped keeps its column."""

from __future__ import annotations

import re

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_HEAD = re.compile(
    r"│ +|- |[●▼◆▲✗] \+[\d.]+ ms +|[●▼◆▲✗] |\d+\. | +|[A-Z…][\w'’ -]{0,22}?  +(?=\S)|[a-z]+: "
)
"""What stands before the text of a line: a mark, a number, a label, or space."""


class Hanging:
    """A text of several lines, each wrapped under what it says."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __str__(self) -> str:
        """As it was before it was wrapped."""
        return self._text.plain

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Line by line."""
        for line in self._text.split("\n", allow_blank=True):
            yield from wrapped(console, line, options.max_width)


def wrapped(console: Console, line: Text, width: int) -> list[Text]:
    """One line in as many as it needs; half of the width at most is left blank."""
    first = line.wrap(console, width)[0] if line.cell_len > width else line
    rest = line[len(first.plain) :]
    rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
    if not rest.plain:
        return [first]
    head = _HEAD.match(line.plain)
    indent = head.end() if head and head.end() <= width // 2 else 0
    below = rest.wrap(console, width - indent)
    return [first, *(Text(" " * indent) + part for part in below)]
