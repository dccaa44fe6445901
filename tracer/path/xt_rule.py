"""One line of iptables-save as its matches and its target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_ESCAPED = re.compile(r"\\(.)")
_SHORT = {
    "--source": "-s",
    "--src": "-s",
    "--destination": "-d",
    "--dst": "-d",
    "--in-interface": "-i",
    "--out-interface": "-o",
    "--protocol": "-p",
    "--proto": "-p",
    "--fragment": "-f",
    "--match": "-m",
    "--jump": "-j",
    "--goto": "-g",
    "--destination-port": "--dport",
    "--source-port": "--sport",
    "--destination-ports": "--dports",
    "--source-ports": "--sports",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a match or target with its values."""

    module: str
    """The match it belongs to; empty for addresses, interfaces and protocol."""
    name: str
    values: tuple[str, ...] = ()
    inverted: bool = False

    @property
    def value(self) -> str:
        """The first value, empty if there is none."""
        return self.values[0] if self.values else ""


@dataclass(frozen=True, slots=True)
class XtRule:
    """A rule: all matches must hold for the target to act."""

    text: str
    matches: tuple[Option, ...] = ()
    target: str = ""
    """Empty for a rule that only counts."""
    is_goto: bool = False
    options: tuple[Option, ...] = ()
    """Of the target."""
    comment: str = ""

    def option(self, *names: str) -> Option | None:
        """The target's option of one of these names."""
        return next((option for option in self.options if option.name in names), None)


class _Reading:
    """A rule while its words are read."""

    def __init__(self) -> None:
        self.matches: list[Option] = []
        self.options: list[Option] = []
        self.target = self.module = ""
        self.is_goto = False

    def take(self, name: str, values: tuple[str, ...], inverted: bool) -> None:
        if name in ("-j", "-g"):
            self.target, self.is_goto = (values[0] if values else ""), name == "-g"
        elif self.target:
            self.options.append(Option(self.target, name, values, inverted))
        elif name == "-m":
            self.module = values[0] if values else ""
            self.matches.append(Option(self.module, ""))
        elif name not in ("-A", "-c"):
            core = name in ("-s", "-d", "-i", "-o", "-p", "-f")
            self.matches.append(Option("" if core else self.module, name, values, inverted))
            if name == "-p" and not inverted:
                self.module = self.module or (values[0] if values else "")


@lru_cache(maxsize=200_000)
def parse_rule(line: str) -> XtRule:
    """A rule out of its line; whatever is not known is kept as an option of its match."""
    words = _words(line)
    reading = _Reading()
    at = 0
    inverted = False
    while at < len(words):
        word, quoted = words[at]
        at += 1
        if word == "!" and not quoted:
            inverted = True
            continue
        if quoted or not word.startswith("-"):
            continue
        if at < len(words) and words[at] == ("!", False) and _is_value(words, at + 1):
            inverted, at = True, at + 1  # the order of old versions: --dport ! 80
        start = at
        while _is_value(words, at):
            at += 1
        values = tuple(text for text, _ in words[start:at])
        reading.take(_SHORT.get(word, word), values, inverted)
        inverted = False
    comments = [o for o in reading.matches if o.name == "--comment"]
    return XtRule(
        text=line,
        matches=tuple(o for o in reading.matches if o.module != "comment"),
        target=reading.target,
        is_goto=reading.is_goto,
        options=tuple(reading.options),
        comment=" ".join(comments[0].values) if comments else "",
    )


def _words(line: str) -> list[tuple[str, bool]]:
    """(text, whether it was quoted)."""
    found = []
    for match in _WORD.finditer(line):
        if match[2] is None:
            found.append((_ESCAPED.sub(r"\1", match[1]), True))
        else:
            found.append((match[2], False))
    return found


def _is_value(words: list[tuple[str, bool]], at: int) -> bool:
    if at >= len(words):
        return False
    word, quoted = words[at]
    return quoted or (word != "!" and (not word.startswith("-") or word[1:2].isdigit()))
