"""A recording that was cut off, and packets that nothing in it vouches for."""

from __future__ import annotations

from tests.tracer.capture_file.blocks import enhanced
from tests.tracer.diagnosis import story
from tests.tracer.recording.stories import VIP, lines_of, opened, recorder, sniffed, tcp
from tracer.events import EventBatch

CLIENT = f"{story.CLIENT}:4000"
DAY = 86_400 * 10**9


def batches_of(source) -> list[EventBatch]:
    source.open()
    found = []
    while (item := source.read(0)) is not None:
        if isinstance(item, EventBatch):
            found.append(item)
    source.close()
    return found


def test_a_damaged_time_behind_a_cut_does_not_move_the_clock(tmp_path):
    path = tmp_path / "run.pcapng"
    told = [("batch", sniffed((1.0, tcp(CLIENT, VIP, 2)), until=1.5), 0)]
    lines_of(told, recorder(path))
    (whole,) = (batch for batch in batches_of(opened(path)) if len(batch.records))
    began_ns = int(whole.records["time_ns"][0])
    late = [began_ns + 10**9, began_ns + 400 * DAY, began_ns + 10**9 + 1]
    packets = [enhanced(time, tcp(CLIENT, VIP, 16, bytes(n))) for n, time in enumerate(late)]
    path.write_bytes(path.read_bytes() + b"".join(packets))
    batches = batches_of(opened(path))
    assert sum(len(batch.records) for batch in batches) == 4
    assert max(batch.until_ns for batch in batches) == late[2]
    assert sum(batch.damaged for batch in batches) == 1
