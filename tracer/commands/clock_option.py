"""``--clock-offset``: whether files of several machines have their times put right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import click

from tracer.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

_MOST_S = 1e9


@dataclass(frozen=True, slots=True)
class ClockChoice:
    """What was asked for."""

    estimate: bool = True
    ahead_ns: Mapping[str, int] = field(default_factory=dict)
    """Given by file."""


def clock_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add the option to a command that reads several files."""
    return click.option(
        "--clock-offset",
        "clock_offsets",
        multiple=True,
        metavar="auto|off|FILE=SECONDS",
        help="Of several files: find by the packets they share how far their clocks are apart"
        " (default), leave their times as they are, or say how far FILE's is ahead.",
    )(command)


def clock_choice(texts: tuple[str, ...]) -> ClockChoice:
    """What the values of the option say together."""
    given = {}
    for text in texts:
        name, equals, seconds = text.rpartition("=")
        if equals:
            given[name] = _nanoseconds(text, seconds)
        elif text not in ("auto", "off"):
            raise _refused(text)
    return ClockChoice("off" not in texts, given)


def _nanoseconds(text: str, seconds: str) -> int:
    try:
        number = float(seconds)
    except ValueError:
        raise _refused(text) from None
    if not -_MOST_S < number < _MOST_S:
        raise _refused(text)
    return round(number * 1e9)


def _refused(text: str) -> InputError:
    return InputError(
        f"--clock-offset {text} is not understood.",
        "It takes auto, off, or a file and the seconds that its clock is ahead.",
        "For example: --clock-offset worker-2.pcap=1.25",
    )
