"""What a replay says is what the live run said."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tracer.recording.stories import lines_of, opened, recorder, replayed, steps
from tracer.recording.files import Limits
from tracer.sources.recording import RecordingParts


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps(), st.booleans())
def test_a_replay_says_what_the_live_run_said(told, clocks):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pcapng"
        live = lines_of(told, recorder(path), several_clocks=clocks)
        assert replayed(opened(path), several_clocks=clocks) == live


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps())
def test_the_parts_of_a_rotated_recording_say_it_together(told):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pcapng"
        live = lines_of(told, recorder(path, Limits(rotate_ns=2_000_000_000)))
        parts = [opened(part) for part in sorted(Path(folder).iterdir())]
        for part in parts:
            part.open()
        assert replayed(RecordingParts(parts)) == live
