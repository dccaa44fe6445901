"""Words of ``nft list ruleset``, and the values that they spell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tracer.node.nft_ruleset import Json

_TOKEN = re.compile(r'"[^"\n]*"|[{}(),;\n]|#[^\n]*|[^\s{}(),;"]+|"')
_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}$|\d{1,20}$")
_RANGE = re.compile(r"([0-9a-fA-F.:x]+)-([0-9a-fA-F.:x]+)$")
_PREFIX = re.compile(r"([0-9a-fA-F.:]*[.:][0-9a-fA-F.:]*)/(\d{1,3})$")
ENDS = ("\n", ";")


class Token(NamedTuple):
    """One word and the line it stands on."""

    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """Every word, brace, comma and end of line; comments are left out."""
    line = 1
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word.startswith("#"):
            continue
        yield Token(word, line)
        line += word == "\n"


def atom(word: str) -> Json:
    """A number, prefix, range or plain word in the form of ``nft -j``."""
    if word.startswith('"'):
        return word.strip('"')
    if _NUMBER.match(word):
        return int(word, 0) if word.startswith("0x") else int(word)
    if found := _PREFIX.match(word):
        return {"prefix": {"addr": found[1], "len": int(found[2])}}
    if found := _RANGE.match(word):
        return {"range": [atom(found[1]), atom(found[2])]}
    return word


class Words:
    """A cursor over the words of one statement."""

    def __init__(self, found: list[str]) -> None:
        self._found = found
        self._at = 0

    @property
    def position(self) -> int:
        """How many words are passed over."""
        return self._at

    @property
    def left(self) -> bool:
        """Whether any word is left."""
        return self._at < len(self._found)

    def peek(self, ahead: int = 0) -> str:
        """The next word, empty at the end."""
        at = self._at + ahead
        return self._found[at] if at < len(self._found) else ""

    def take(self) -> str:
        """The next word, passed over; ValueError at the end."""
        if not self.left:
            raise ValueError("the rule ends too early")
        self._at += 1
        return self._found[self._at - 1]

    def took(self, *words: str) -> bool:
        """Pass over the next word if it is one of these."""
        if self.peek() not in words:
            return False
        self._at += 1
        return True

    def group(self) -> list[str]:
        """The words between the brace that comes next and its partner."""
        if self.take() != "{":
            raise ValueError("no opening brace")
        depth, start = 1, self._at
        while depth:
            word = self.take()
            depth += (word == "{") - (word == "}")
        return [word for word in self._found[start : self._at - 1] if word != "\n"]


def split(words: list[str], separator: str) -> list[list[str]]:
    """Words between separators outside of braces; empty parts are left out."""
    parts: list[list[str]] = [[]]
    depth = 0
    for word in words:
        depth += (word == "{") - (word == "}")
        if word == separator and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]
