"""Filters: what a user types to choose flows -> a mask over rows.

A *term* tests one property (``service=shop/web``, ``port 443``, bare ``10.0.0.0/8``);
``TERMS`` lists them all with help and example. Terms are joined by ``and`` (or
nothing), ``or``, ``not`` and parentheses. ``parse`` gives a ``Filter`` or an
FilterError that points at the column and says what could stand there; ``completions``
says what could be typed next.
"""

from __future__ import annotations

from tracer.filters.completion import completions
from tracer.filters.grammar import Filter, FilterError, parse
from tracer.filters.terms import TERMS, Term

__all__ = ["TERMS", "Filter", "FilterError", "Term", "completions", "parse"]
