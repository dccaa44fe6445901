"""All that is known of one cause, for people: from its table and from its rule's own words."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.diagnosis.audit_catalogue import AUDIT_RULES
from tracer.diagnosis.catalogue import RULES
from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.causes.reproduced import REPRODUCED

_SECTION = re.compile(r"^(Claims|Evidence|Cannot know): ", re.MULTILINE)
_SIGHTS = {
    "bpf": "live, with probes in the kernel",
    "conntrack": "live, with conntrack and packets",
    "capture": "from packets alone",
    "state": "from state alone",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One cause in words; paragraphs are single lines."""

    cause: Cause
    claims: str
    evidence: str
    limits: str
    """What the rule cannot know."""
    reproductions: tuple[str, ...] = ()
    """How the lab makes it: title, mode and command."""

    @property
    def remedy(self) -> tuple[str, ...]:
        """The steps, with a word in angle brackets where a finding names the thing."""
        return self.cause.sketched()

    @property
    def sights(self) -> Iterator[tuple[str, str]]:
        """For each kind of input what shows the cause there; empty where nothing does."""
        for name, title in _SIGHTS.items():
            yield title, getattr(self.cause.sight, name)


def explain(identifier: str) -> Explanation:
    """The cause with this id; KeyError if there is none."""
    cause = CAUSES_BY_ID[identifier]
    homes = {rule.name: type(rule).__module__ for rule in AUDIT_RULES}
    homes |= {rule.name: type(rule).__module__ for rule in RULES.flow}
    homes |= {rule.name: type(rule).__module__ for rule in RULES.state}
    text = inspect.cleandoc(sys.modules[homes[identifier]].__doc__ or "")
    _, *parts = _SECTION.split(text)
    words = [" ".join(part.split()) for part in parts]
    found = dict(zip(words[::2], words[1::2], strict=True))
    made = REPRODUCED.get(identifier, ())
    return Explanation(cause, found["Claims"], found["Evidence"], found["Cannot know"], made)
