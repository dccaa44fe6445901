from __future__ import annotations

import numpy as np

from tests.builders import at, batch, mapping
from tests.tracer.shown import VIP, WEB
from tracer.events import EventBatch, Loss, PacketBytes
from tracer.sources import Problem
from tracer.sources.paced import Paced
from tracer.tempo import Tempo


class Recorded:
    """Batches from a list."""

    name = "recorded"

    def __init__(self, *batches: EventBatch) -> None:
        self.batches = list(batches)
        self.state = ""

    def problems(self) -> list[Problem]:
        return [Problem("x", "y")]

    def open(self) -> None:
        self.state = "open"

    def read(self, timeout: float) -> EventBatch | None:
        return self.batches.pop(0) if self.batches else None

    def close(self) -> None:
        self.state = "closed"


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def story(*seconds: float, **more) -> EventBatch:
    made = [mapping(s, f"10.0.0.1:{place + 1}", VIP, WEB) for place, s in enumerate(seconds)]
    return batch(*made, until=seconds[-1], **more)


def played(source: Recorded, pace: float, step: float = 0.1) -> list[tuple[float, int]]:
    """(seconds since the start, records) of every batch with records."""
    clock = Clock()
    paced = Paced(source, Tempo(pace, clock.read, clock.sleep))
    told = []
    while (found := paced.read(step)) is not None:
        if len(found.records):
            told.append((round(clock.now - 100, 3), len(found.records)))
    return told


def test_records_come_at_the_recorded_pace():
    assert played(Recorded(story(5, 5, 6, 8)), 1) == [(0.0, 2), (1.0, 1), (3.0, 1)]


def test_ten_times_as_fast():
    assert played(Recorded(story(5, 6), story(9)), 10) == [(0.0, 1), (0.1, 1), (0.4, 1)]


def test_while_waiting_time_goes_on_without_records():
    clock = Clock()
    paced = Paced(Recorded(story(5, 7)), Tempo(1, clock.read, clock.sleep))
    assert len(paced.read(0.5).records) == 1
    empty = paced.read(0.5)
    assert (len(empty.records), empty.until_ns) == (0, at(5.5))


def test_losses_and_damage_are_told_once():
    clock = Clock()
    paced = Paced(
        Recorded(story(5, 6, lost=Loss(socket=3), damaged=2)), Tempo(1, clock.read, clock.sleep)
    )
    told = [paced.read(1.0) for _ in range(2)]
    assert [found.lost.socket for found in told] == [3, 0]
    assert [found.damaged for found in told] == [2, 0]


def test_packets_are_cut_with_their_records():
    data = np.frombuffer(b"aabbb", dtype=np.uint8)
    packets = PacketBytes(data, np.array([0, 2, 5]), np.array([2, 3], "u4"), np.array([1, 1], "u2"))
    clock = Clock()
    paced = Paced(Recorded(story(5, 6, packets=packets)), Tempo(1, clock.read, clock.sleep))
    first, second = paced.read(1.0), paced.read(1.0)
    assert (first.packets.packet(0), second.packets.packet(0)) == (b"aa", b"bbb")


def test_the_rest_is_the_source_s_own():
    source = Recorded()
    paced = Paced(source, Tempo(1))
    paced.open()
    assert source.state == "open"
    assert paced.problems() == source.problems()
    paced.close()
    assert source.state == "closed"
