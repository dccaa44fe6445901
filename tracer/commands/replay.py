"""``viptrace replay``: read captures instead of the kernel."""

from __future__ import annotations

from pathlib import Path

import click

from tracer.commands.clock_option import clock_choice, clock_option
from tracer.commands.output import chosen_output, output_options
from tracer.errors import InputError

_REPORTS = (".html", ".htm", ".md")
_CAPTURE_SUFFIXES = (".pcap", ".pcapng", ".cap", ".gz", ".zst", ".npy")


@click.command(short_help="Read captures instead of the kernel.")
@click.argument("files", nargs=-1, required=True, metavar="FILE… [FILTER]")
@output_options
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
@clock_option
@click.option(
    "--speed",
    default="max",
    show_default=True,
    metavar="N|max",
    help="Times as fast as recorded.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write an incident report: .html or .md.",
)
def replay(
    files: tuple[str, ...],
    json_lines: bool,
    text: bool,
    updates: bool,
    all_flows: bool,
    summary: bool,
    fail_on: str | None,
    cluster: Path | None,
    no_cluster: bool,
    state: Path | None,
    clock_offsets: tuple[str, ...],
    speed: str,
    report: Path | None,
) -> int:
    """Diagnose captured traffic as if it were live.

    FILE is a pcap or pcapng (also .gz or .zst), or a folder with capture.pcapng,
    cluster.yaml, state/ and events.npy. Files beside a capture are used, which is
    said. Several files are merged by time, their clocks put right by the packets that
    they share. A last argument that is no file is the FILTER.
    """
    paths, chosen = _split(files)
    output = chosen_output(json_lines, text, updates, all_flows, summary, fail_on, chosen)
    if cluster and no_cluster:
        raise InputError(
            "--cluster and --no-cluster exclude each other.", "", "Leave one of them out."
        )
    pace = _pace(speed)
    if report and report.suffix not in _REPORTS:
        raise InputError(
            f"Cannot tell what {report} is to be.",
            f"Its name ends in none of {', '.join(_REPORTS)}.",
            "For example: --report incident.html",
        )
    clocks = clock_choice(clock_offsets)
    # NumPy and all sources hang on this: help and mistakes in options must not wait for them.
    from tracer.commands.ahead import read_ahead

    plain = len(paths) == 1 and output.form != "screen" and not (pace or report or clock_offsets)
    ahead = read_ahead(paths[0]) if plain else None
    try:
        from tracer.commands.replay_run import Replay, replay_files

        request = Replay(paths, cluster, no_cluster, state, pace, report, clocks, ahead)
        return replay_files(request, output)
    finally:
        if ahead is not None:
            ahead.source.close()


def _split(files: tuple[str, ...]) -> tuple[tuple[Path, ...], str]:
    """Files, and the filter if the last argument is none."""
    last = files[-1]
    is_file = Path(last).exists() or "/" in last or last.endswith(_CAPTURE_SUFFIXES)
    names, chosen = (files, "") if is_file or len(files) == 1 else (files[:-1], last)
    for name in names:
        if name != "-" and not Path(name).exists():
            raise InputError(
                f"Cannot read {name}.",
                "There is no such file or folder.",
                "Give a capture (pcap, pcapng), or a folder that holds capture.pcapng.",
            )
    return tuple(map(Path, names)), chosen


def _pace(speed: str) -> float:
    """0 for as fast as possible."""
    if speed == "max":
        return 0.0
    try:
        pace = float(speed)
    except ValueError:
        pace = -1.0
    if not 0 < pace < float("inf"):
        raise InputError(
            f"--speed {speed} is not a speed.",
            "It takes a number above 0, or max.",
            "For example: --speed 1 for the recorded pace, --speed 10 for ten times as fast.",
        )
    return pace
