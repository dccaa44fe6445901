"""What could be typed next in a filter: names of terms, their values, names that were seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tracer.filters.terms import TERMS, Term

LIMIT = 50
_WORD = re.compile(r"[^\s()!]*$")
_ODD = re.compile(r"[\s()=!&|\"',]")
_TERMS = {term.name: term for term in TERMS}
_JOINTS = ("and", "or", "not")


def completions(text: str, seen: Mapping[str, Sequence[str]]) -> list[str]:
    """Whole texts that begin with this one, the likely ones first; ``seen`` has names by term."""
    word = _WORD.search(text)
    start = word.start() if word else len(text)
    before, typed = text[:start], text[start:]
    name, equals, value = typed.partition("=")
    term = _TERMS.get(name.lower())
    if equals and term:
        first, comma, last = value.rpartition(",")
        stem = f"{before}{name}={first}{comma}"
        return [stem + _quoted(one) for one in _values(term, last, seen)]
    if equals:
        return []
    return [before + one for one in _matching(typed, _beginnings(bool(before.strip())))]


def _beginnings(continues: bool) -> Iterable[str]:
    """Words that a term can begin with; joints only where there is something to join."""
    yield from (f"{term.name}=" for term in TERMS)
    yield from (value for term in TERMS if term.bare for value in term.values)
    yield from _JOINTS if continues else ("not",)


def _values(term: Term, typed: str, seen: Mapping[str, Sequence[str]]) -> list[str]:
    """The values of a term, else names seen; the part after a slash will do as a beginning."""
    known = term.values or seen.get(term.name, ())
    exact = _matching(typed, known)
    loose = [one for one in known if typed and f"/{typed.lower()}" in one.lower()]
    return list(dict.fromkeys(exact + loose))[:LIMIT]


def _matching(typed: str, known: Iterable[str]) -> list[str]:
    """Those that begin with what is typed and go on."""
    low = typed.lower()
    return [one for one in known if one.lower().startswith(low) and one.lower() != low][:LIMIT]


def _quoted(value: str) -> str:
    return f'"{value}"' if _ODD.search(value) and '"' not in value else value
