"""The grammar of filters, by recursive descent.

``or`` binds least, then ``and`` (or nothing), then ``not``. A term is
``name=value``, ``name!=value``, ``name value``, or a value that can stand alone;
values separated by commas are alternatives. By hand and not with a parser
library: what matters is to point at the column and list what could stand there,
and a word's meaning depends on the word after it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.cells import Flows
from tracer.errors import InputError
from tracer.filters.matching import (
    Context,
    Mask,
    Question,
    Test,
    all_of,
    any_of,
    looks_like_address,
    none_of,
)
from tracer.filters.terms import TERMS, Term
from tracer.plain import harmless, shortened

LENGTH_LIMIT = 4096
DEPTH_LIMIT = 50

_TOKEN = re.compile(
    r"\s*(?:(?P<sign>!=|==?|!|\(|\)|&&|\|\|)|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'"
    r"|(?P<word>[^\s()=!&|\"']+)|(?P<odd>\S))"
)
_SIGNS = {"&&": "and", "||": "or", "!": "not", "==": "="}
_NAMES = {term.name: term for term in TERMS}
_BARE = {value: term for term in TERMS if term.bare for value in term.values}
_HOST = _NAMES["host"]
_WORDS = ("and", "or", "not")


class FilterError(InputError):
    """What is wrong with a filter, and where."""

    def __init__(self, column: int, problem: str, remedy: str) -> None:
        super().__init__(f"Filter, column {column}: {problem}", "", remedy)
        self.column = column
        """From 1."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter; the same text gives the same rows for ever."""

    text: str
    test: Test

    def mask(
        self,
        flows: Flows,
        context: Context,
        causes: Mapping[str, npt.NDArray[np.uint64]] | None = None,
    ) -> Mask:
        """Which rows pass; ``causes`` has the ids of the flows that each cause explains."""
        return self.test(Question(flows, context, causes or {}))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """``sign``, ``word``, ``quoted`` or ``end``."""
    text: str
    column: int
    """From 1."""

    def is_sign(self, *signs: str) -> bool:
        """Whether this is one of these signs or words of the grammar."""
        return self.kind == "sign" and self.text in signs


def parse(text: str) -> Filter:
    """The filter a text describes (an empty one lets everything pass); InputError if none."""
    if len(text) > LENGTH_LIMIT:
        raise InputError("The filter is too long", f"It has more than {LENGTH_LIMIT} characters.")
    parser = _Parser(_tokens(text))
    if parser.token.kind == "end":
        return Filter(text, lambda question: np.ones(len(question.flows), dtype=np.bool_))
    test = parser.either()
    if parser.token.kind != "end":
        raise _error(parser.token, "is not expected here", "Possible: and, or, another term.")
    return Filter(text, test)


def _tokens(text: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        value, column = match[kind], match.start(kind) + 1
        if kind == "odd":
            reason = "begins a quotation that does not end" if value in "\"'" else "has no meaning"
            raise _error(_Token("odd", value, column), reason, _possible())
        if kind == "sign" or (kind == "word" and value.lower() in _WORDS):
            found.append(_Token("sign", _SIGNS.get(value, value.lower()), column))
        else:
            found.append(_Token("word" if kind == "word" else "quoted", value, column))
    return [*found, _Token("end", "", len(text) + 1)]


class _Parser:
    """Reads tokens from left to right; each method is one rule of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def token(self) -> _Token:
        """The next token, not yet read."""
        return self._tokens[self._at]

    def either(self) -> Test:
        """``both or both …``"""
        parts = [self._both()]
        while self.token.is_sign("or"):
            self._at += 1
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else any_of(parts)

    def _both(self) -> Test:
        """``one and one …``, where ``and`` may be left out."""
        parts = [self._one()]
        while not (self.token.kind == "end" or self.token.is_sign("or", ")")):
            if self.token.is_sign("and"):
                self._at += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else all_of(parts)

    def _one(self) -> Test:
        """A term or a group, after any number of ``not``."""
        negated = False
        while self.token.is_sign("not"):
            negated = not negated
            self._at += 1
        test = self._group() if self.token.is_sign("(") else self._term()
        return none_of(test) if negated else test

    def _group(self) -> Test:
        opening = self._next()
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise _error(opening, f"is nested more than {DEPTH_LIMIT} deep", "Use fewer groups.")
        test = self.either()
        self._depth -= 1
        if not self.token.is_sign(")"):
            raise _error(opening, "is never closed", "Add a ) to the end of the group.")
        self._at += 1
        return test

    def _term(self) -> Test:
        word = self._next()
        term = _NAMES.get(word.text.lower()) if word.kind == "word" else None
        if term is not None and self.token.is_sign("=", "!="):
            negated = self._next().text == "!="
            test = self._values(term, self._next())
            return none_of(test) if negated else test
        if self.token.is_sign("=", "!="):
            raise _error(word, "is no property of a flow", _possible(word.text))
        if term is not None:
            return self._values(term, self._next())
        return _alone(word)

    def _values(self, term: Term, token: _Token) -> Test:
        """A value, or several with commas between."""
        if token.kind not in ("word", "quoted") or not token.text:
            raise _error(token, f"stands where {term.name} needs a value", _values_of(term))
        tests, column = [], token.column
        for value in token.text.split(","):
            tests.append(_compiled(term, _Token("word", value, column)))
            column += len(value) + 1
        return tests[0] if len(tests) == 1 else any_of(tests)

    def _next(self) -> _Token:
        token = self.token
        if token.kind != "end":
            self._at += 1
        return token


def _alone(token: _Token) -> Test:
    """A value that needs no name: an address, a protocol, a quality."""
    bare = _BARE.get(token.text.lower()) if token.kind == "word" else None
    if bare is not None:
        return _compiled(bare, token)
    if token.kind == "word" and looks_like_address(token.text):
        return _compiled(_HOST, token)
    raise _error(token, "is not understood", _possible(token.text))


def _compiled(term: Term, token: _Token) -> Test:
    try:
        if not token.text:
            raise ValueError("a value is missing")
        return term.compile(token.text)
    except ValueError as error:
        remedy = f"{term.name}: {error}; for example {term.example}"
        raise _error(token, f"is not a value for {term.name}", remedy) from error


def _error(token: _Token, problem: str, remedy: str) -> InputError:
    shown = f"'{shortened(harmless(token.text), 40)}'" if token.kind != "end" else "the end"
    return FilterError(token.column, f"{shown} {problem}", remedy)


def _values_of(term: Term) -> str:
    listed = f"Possible: {', '.join(term.values)}; for" if term.values else "For"
    return f"{listed} example {term.example}"


def _possible(word: str = "") -> str:
    """What a term can begin with; first, what the word may have been meant to be."""
    close = difflib.get_close_matches(word.lower()[:40], [*_NAMES, *_BARE], n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    names = ", ".join(f"{name}=" for name in _NAMES)
    return f"{meant}Possible: an address, {', '.join(_BARE)}, {names}, not, ( )."
