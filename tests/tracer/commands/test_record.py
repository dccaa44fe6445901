"""``viptrace record``: what it is asked, and what it says while it runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.builders import batch, mapping
from tests.tracer.recording.stories import recorder
from tests.tracer.shown import VIP, WEB
from tracer.cli import run
from tracer.commands.record_options import seconds, size
from tracer.commands.recorder import StatusLine, privacy_of
from tracer.errors import InputError
from tracer.events import Flag
from tracer.pipeline import Pipeline
from tracer.recording.privacy import Anonymized, Privacy, Shortened
from tracer.settings import RecordSettings


@pytest.mark.parametrize(
    ("text", "count"), [("100", 100), ("1k", 1024), ("1.5M", 3 << 19), ("2 G", 2 << 30)]
)
def test_sizes(text, count):
    assert size(text, "--max-size") == count


@pytest.mark.parametrize(
    ("text", "count"), [("30", 30), ("10m", 600), ("1.5h", 5400), ("1d", 86400)]
)
def test_times(text, count):
    assert seconds(text, "--rotate-every") == count


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "10y", "1e9", "m", "0.0000001"])
def test_what_is_no_time(text):
    if not text:
        assert seconds(text, "--rotate-every") == 0
        return
    with pytest.raises(InputError, match="--rotate-every"):
        seconds(text, "--rotate-every")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "Missing option '-o'"),
        (["-o", "x", "--keep", "3"], "--keep needs"),
        (["-o", "x", "--rotate-size", "big"], "--rotate-size big"),
        (["-o", "x", "--cluster", "a", "--no-cluster"], "exclude each other"),
        (["-o", "x", "--json"], "No such option"),
        (["-o", "x", "--iface", "none0"], "No interface 'none0'"),
    ],
)
def test_usage_errors(arguments, why, capsys):
    assert run(["record", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_live_does_not_mix_a_recording_with_its_lines(capsys):
    assert run(["live", "--json", "--record", "-"]) == 2
    assert "viptrace record -o -" in capsys.readouterr().err


def test_how_much_of_a_packet_stays():
    target = Path("x")
    assert type(privacy_of(RecordSettings(target))) is Shortened
    assert type(privacy_of(RecordSettings(target, payload=-1))) is Privacy
    assert type(privacy_of(RecordSettings(target, payload=-1, snap=60))) is Shortened
    assert type(privacy_of(RecordSettings(target, payload=-1, anonymize=True))) is Anonymized


def test_the_status_line_comes_every_few_seconds_and_at_the_end(tmp_path):
    out, now_s = io.StringIO(), [0.0]
    sink, pipeline = recorder(tmp_path / "run.pcapng"), Pipeline()
    status = StatusLine(sink, out, lambda: now_s[0])
    sink.start()
    for now_s[0] in (1.0, 4.9, 5.1, 6.0, 9.0, 10.2):
        made = mapping(now_s[0], "10.244.3.8:4000", VIP, WEB, flags=Flag.DST_NAT)
        status.write(pipeline, pipeline.feed(batch(made, until=now_s[0])))
    assert len(out.getvalue().splitlines()) == 2
    status.close(pipeline, {"degraded": ["something\x1b is missing"]})
    sink.close(pipeline, {})
    *_, last, missing = out.getvalue().splitlines()
    assert last.startswith(f"viptrace: {tmp_path}/run.pcapng: ")
    assert last.endswith(
        " bytes; 0 packets, 6 events, 1 translations, 0 findings open; nothing lost"
    )
    assert missing == "viptrace: degraded: something\\x1b is missing"
