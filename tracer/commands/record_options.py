"""Options of whatever writes a recording: its size, and how much of each packet stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from tracer.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

HEADERS_ONLY_BYTES = 64
"""Payload that stays: as much as pairing compares."""
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def rotation_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of size and rotation to a command."""
    for option in reversed(
        (
            click.option("--rotate-size", metavar="SIZE", help="Next file at 100M, 1G, …"),
            click.option("--rotate-every", metavar="TIME", help="Next file after 10m, 1h, …"),
            click.option(
                "--keep",
                type=click.IntRange(min=1),
                metavar="N",
                help="Newest files that stay; older ones are removed.",
            ),
            click.option("--max-size", metavar="SIZE", help="End when this much is written."),
        )
    ):
        command = option(command)
    return command


def privacy_options(headers_only: bool) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add the options of privacy to a command; ``headers_only`` is the default."""

    def added(command: Callable[P, R]) -> Callable[P, R]:
        for option in reversed(
            (
                click.option(
                    "--snaplen",
                    type=click.IntRange(min=14, max=65535),
                    metavar="N",
                    help="At most so many bytes of a packet.",
                ),
                click.option(
                    "--headers-only/--full-packets",
                    default=headers_only,
                    show_default=True,
                    help=f"Headers and {HEADERS_ONLY_BYTES} bytes of payload, or everything.",
                ),
                click.option(
                    "--anonymize",
                    is_flag=True,
                    help="Replace addresses and names, wipe payload: a file for strangers.",
                ),
            )
        ):
            command = option(command)
        return command

    return added


def size(text: str | None, option: str) -> int:
    """Bytes; 0 for none."""
    return int(_measured(text, option, _SIZES, "100M")) if text else 0


def seconds(text: str | None, option: str) -> float:
    """Seconds; 0 for none."""
    return _measured(text, option, _TIMES, "10m") if text else 0.0


def payload(headers_only: bool) -> int:
    """Bytes of payload that stay; -1 all."""
    return HEADERS_ONLY_BYTES if headers_only else -1


def require_rotation(keep: int | None, rotate_size: str | None, rotate_every: str | None) -> None:
    """InputError where files are to be removed and there will be one only."""
    if keep and not (rotate_size or rotate_every):
        raise InputError(
            "--keep needs files to choose from.", "", "Add --rotate-size or --rotate-every."
        )


def _measured(text: str, option: str, units: dict[str, float] | dict[str, int], like: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([a-zA-Z]?)", text.strip())
    unit = units.get(found[2].lower()) if found else None
    amount = float(found[1]) * unit if found and unit else 0.0
    if amount < 1:
        raise InputError(
            f"{option} {text} cannot be used.",
            f"It takes a number with one of the units {', '.join(filter(None, units))}.",
            f"For example: {option} {like}",
        )
    return amount
