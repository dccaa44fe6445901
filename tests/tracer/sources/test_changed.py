"""A source whose clock was ahead: everything it tells is that much earlier."""

from __future__ import annotations

from tests.tracer.diagnosis import story
from tests.tracer.recording.stories import (
    CLUSTERS,
    VIP,
    lines_of,
    mapping_told,
    opened,
    recorder,
    sniffed,
    tcp,
)
from tracer.commands.captures import open_captures
from tracer.commands.clock_option import ClockChoice
from tracer.events import EventBatch
from tracer.recording import StateAt
from tracer.sources.changed import ChangedSource, earlier

SECOND = 10**9
CLIENT = f"{story.CLIENT}:4000"


def items_of(source) -> list[EventBatch | StateAt]:
    source.open()
    found = []
    while (item := source.read(0)) is not None:
        found.append(item)
    source.close()
    return found


def recorded(path, later: float = 0.0):
    """A recording of one connection, by a clock that is so many seconds ahead."""
    packets = [
        (1.0 + later + n / 100, tcp(*ends, flags, bytes(n)))
        for n, (ends, flags) in enumerate([((CLIENT, VIP), 2), ((VIP, CLIENT), 18)] * 4)
    ]
    told = [
        ("node", story.node_state(), int(later * SECOND)),
        ("cluster", CLUSTERS[0], int(later * SECOND)),
        mapping_told(0.5 + later, CLIENT, VIP),
        ("batch", sniffed(*packets, until=2.0 + later), 0),
    ]
    lines_of(told, recorder(path))
    return path


def test_records_times_and_states_are_earlier(tmp_path):
    path = recorded(tmp_path / "run.pcapng", later=7.0)
    plain, shifted = (
        items_of(opened(path)),
        items_of(ChangedSource(opened(path), earlier(7 * SECOND))),
    )
    assert len(plain) == len(shifted) >= 4
    for before, after in zip(plain, shifted, strict=True):
        if isinstance(before, StateAt):
            assert after.at_ns == max(before.at_ns - 7 * SECOND, 0)
            assert type(after.state) is type(before.state)
            continue
        assert after.until_ns == (before.until_ns - 7 * SECOND if before.until_ns else 0)
        moved = before.records["time_ns"] - after.records["time_ns"]
        assert (moved == 7 * SECOND).all()
        assert after.records["src"].tobytes() == before.records["src"].tobytes()


def test_recordings_of_two_nodes_have_two_clocks(tmp_path):
    paths = [recorded(tmp_path / "a.pcapng"), recorded(tmp_path / "b.pcapng", later=7.0)]
    captures = open_captures(paths, choice=ClockChoice())
    ahead = {clock.files[0]: clock.ahead_ns for clock in captures.clocks}
    assert ahead == {str(paths[0]): 0, str(paths[1]): 7 * SECOND}
    assert sum(isinstance(source, ChangedSource) for source in captures.sources) == 1
    for source in captures.sources:
        source.close()
