"""Text from tenants made safe for a terminal: what could act becomes visible."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


def harmless(text: str) -> str:
    """The same text with everything that does not simply print written as an escape.

    Control characters, escape sequences, bidirectional and zero-width marks, line
    separators, lone surrogates and unassigned code points become ``\\x1b`` or
    ``\\u202e``; so do right-to-left letters, which would reorder the columns
    around them (Kubernetes names are ASCII, so no real name suffers).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def shortened(text: str, width: int) -> str:
    """At most ``width`` characters; a cut is shown by an ellipsis in the middle.

    The middle goes because pods of one Deployment differ at the end only.
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    tail = width - 1 - head
    return f"{text[:head]}…{text[len(text) - tail :]}" if width > 1 else "…"[:width]


def numbered(steps: Sequence[str]) -> list[str]:
    """Harmless lines of numbered steps; a step of several lines goes on under its own text."""
    lines = []
    for number, step in enumerate(steps, 1):
        mark = f"{number}. "
        first, *rest = step.splitlines() or [""]
        lines.append(mark + harmless(first))
        lines += [" " * len(mark) + harmless(line) for line in rest]
    return lines


def _visible(character: str) -> str:
    if character.isprintable() and unicodedata.bidirectional(character) not in _RIGHT_TO_LEFT:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
