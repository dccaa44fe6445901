"""``viptrace export``: a capture in another form."""

from __future__ import annotations

from pathlib import Path

import click

from tracer.commands.record_options import payload, privacy_options
from tracer.errors import InputError
from tracer.settings import RecordSettings

FORMS = (".pcapng", ".ndjson", ".parquet")


@click.command(short_help="Turn a capture into pcapng with names, JSON lines or Parquet.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("filter", required=False, default="", metavar="[FILTER]")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="Its ending chooses the form: .pcapng, .ndjson or .parquet.",
)
@click.option(
    "--cluster",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Names from this file instead of the one beside the capture.",
)
@click.option("--no-cluster", is_flag=True, help="No names, addresses only.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="State directory of the node, instead of the one beside the capture.",
)
@click.option("--all-flows", is_flag=True, help="Also flows that are not translated.")
@privacy_options(headers_only=False)
def export(
    file: Path,
    filter: str,
    output: Path,
    cluster: Path | None,
    no_cluster: bool,
    state: Path | None,
    all_flows: bool,
    snaplen: int | None,
    headers_only: bool,
    anonymize: bool,
) -> int:
    """Read FILE as replay does, and write what was found.

    A .pcapng has every IP packet, with names and comments for Wireshark, and can be
    replayed; .ndjson has the JSON lines of `viptrace replay --json`; .parquet has one
    row for each translation, and OUT-findings.parquet one for each finding. FILTER
    chooses flows in the latter two.
    """
    if output.suffix not in FORMS:
        raise InputError(
            f"Cannot tell what {output} is to be.",
            f"Its name ends in none of {', '.join(FORMS)}.",
            "For example: -o incident.ndjson",
        )
    _require_capture(file, output)
    settings = RecordSettings(
        output, snap=snaplen or 0, payload=payload(headers_only), anonymize=anonymize
    )
    # NumPy and all sources hang on this: help and mistakes in options must not wait for them.
    from tracer.commands.export_run import export_file
    from tracer.commands.replay_run import Replay

    return export_file(Replay((file,), cluster, no_cluster, state), settings, filter, all_flows)


def _require_capture(file: Path, output: Path) -> None:
    """InputError if there is none, or if it would be overwritten."""
    if not (file.exists() or str(file) == "-"):
        raise InputError(
            f"Cannot read {file}.", "There is no such file or folder.", "Give a capture."
        )
    if output.exists() and file.exists() and output.samefile(file):
        raise InputError(
            f"{output} is the capture itself.", "It would be overwritten.", "Name another file."
        )
