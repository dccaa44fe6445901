"""Export: a replay without a screen, into a file of another form."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO

from tracer.commands.output import Output
from tracer.commands.play import Run, filter_of, play
from tracer.commands.recorder import complain, privacy_of, recorder_of
from tracer.commands.replay_run import Replay, prepared
from tracer.errors import InputError
from tracer.settings import RecordSettings
from tracer.sinks import Sink
from tracer.sinks.jsonl import JsonLines
from tracer.sinks.parquet import ParquetFiles

_UNABLE = 3


def export_file(request: Replay, settings: RecordSettings, chosen: str, all_flows: bool) -> int:
    """Write what a replay finds; answers with the exit code."""
    output = Output("none", chosen, all_flows=all_flows)
    filter_of(output)
    run = prepared(replace(request, privacy=privacy_of(settings)))
    with ExitStack() as opened:
        for source in run.sources:
            opened.callback(source.close)
        if settings.target.suffix == ".pcapng":
            return _record(run, settings, output)
        sink = _sink(settings, output, opened)
        return play(replace(run, sinks=(*run.sinks, sink)), output)


def _record(run: Run, settings: RecordSettings, output: Output) -> int:
    """Packets are cut and hidden by the source: everything is concluded from that."""
    plain = RecordSettings(settings.target, payload=-1)
    recorder = recorder_of(plain, run.pipeline, run.backend, complain, settings.anonymize)
    code = play(replace(run, recorder=recorder), output)
    return _UNABLE if recorder.failed else code


def _sink(settings: RecordSettings, output: Output, opened: ExitStack) -> Sink:
    chosen = filter_of(output)
    if settings.target.suffix == ".parquet":
        return ParquetFiles(settings.target, output.all_flows, chosen)
    try:
        file: BinaryIO = opened.enter_context(settings.target.open("wb"))
    except OSError as error:
        raise InputError(
            f"Cannot write {settings.target}.",
            error.strerror or "",
            "Name a file in a folder that exists and can be written to.",
        ) from error
    return JsonLines(file, output.all_flows, chosen=chosen)
