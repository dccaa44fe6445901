"""The steps of a Dockerfile, read so that they can be run where there is no container engine.

Only what this project's Dockerfile uses is understood; anything else is an error, never ignored.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tracer.errors import InputError

KNOWN = frozenset(
    ("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "SHELL", "USER", "WORKDIR")
)
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction."""

    word: str
    text: str
    line: int

    @property
    def items(self) -> list[str]:
        """The arguments: a JSON list, or words."""
        found: list[str] = (
            json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        )
        return found


@dataclass(slots=True)
class Stage:
    """One ``FROM`` with the steps behind it."""

    base: str
    name: str = ""
    steps: list[Step] = field(default_factory=list)


def read(path: Path) -> list[Stage]:
    """The stages in order; InputError where an instruction is not understood."""
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for step in _steps(path.read_text()):
        if step.word not in KNOWN:
            raise InputError(f"{path}:{step.line}: {step.word} is not understood")
        if step.word == "ARG" and not stages:
            name, _, value = step.text.partition("=")
            arguments[name] = value
        elif step.word == "FROM":
            words = expanded(step.text, arguments).split()
            stages.append(Stage(words[0], words[2] if len(words) == 3 else ""))
        elif stages:
            stages[-1].steps.append(step)
        else:
            raise InputError(f"{path}:{step.line}: {step.word} before FROM")
    return stages


def expanded(text: str, values: dict[str, str]) -> str:
    """The text with variables replaced; those that are not known are left as they are."""
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)


def allowed(ignore: str) -> frozenset[str]:
    """Top-level names that a ``.dockerignore`` which begins with ``*`` lets through."""
    lines = ignore.split()
    if lines[:1] != ["*"]:
        raise InputError(".dockerignore must begin with *: nothing goes in that is not named")
    return frozenset(line[1:] for line in lines if line.startswith("!"))


def _steps(text: str) -> Iterator[Step]:
    lines: list[str] = []
    begins = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or lines):
            continue
        begins = begins if lines else number
        lines.append(line.rstrip().removesuffix("\\"))
        if not line.rstrip().endswith("\\"):
            word, _, rest = " ".join(lines).strip().partition(" ")
            yield Step(word.upper(), rest.strip(), begins)
            lines = []
