"""``viptrace record``: trace this node into a file, without a screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tracer.commands.live import live, live_settings
from tracer.commands.output import PRINTING, Output
from tracer.commands.record_options import (
    payload,
    privacy_options,
    require_rotation,
    rotation_options,
    seconds,
    size,
)
from tracer.settings import RecordSettings

_UNABLE = 3


@click.command(short_help="Trace this node into a file, without a screen.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The recording, a pcapng; - is standard output.",
)
@rotation_options
@privacy_options(headers_only=True)
def record(
    output: Path,
    rotate_size: str | None,
    rotate_every: str | None,
    keep: int | None,
    max_size: str | None,
    snaplen: int | None,
    headers_only: bool,
    anonymize: bool,
    **options: Any,
) -> int:
    """Record what `viptrace replay` needs to show the same again, and Wireshark can show.

    FILTER chooses the flows whose packets and records are kept. With --rotate-size or
    --rotate-every the files are FILE-00001, FILE-00002, …
    """
    require_rotation(keep, rotate_size, rotate_every)
    settings = RecordSettings(
        target=output,
        rotate_bytes=size(rotate_size, "--rotate-size"),
        rotate_s=seconds(rotate_every, "--rotate-every"),
        keep=keep or 0,
        max_bytes=size(max_size, "--max-size"),
        snap=snaplen or 0,
        payload=payload(headers_only),
        anonymize=anonymize,
    )
    live_options = live_settings(**options)
    # NumPy and all sources hang on this: help and mistakes in options must not wait for them.
    from tracer.commands.live_run import trace

    return trace(replace(live_options, record=settings), Output("none", live_options.filter))


_OTHERWISE = PRINTING | {"record"}
record.params = [param for param in live.params if param.name not in _OTHERWISE] + record.params
"""What is traced is chosen as for ``live``; nothing is printed."""
