from __future__ import annotations

from tracer.tempo import Tempo

LATE = 10**12


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def read(self) -> float:
        return self.now


def test_at_full_speed_nothing_waits():
    assert Tempo().limit_ns(LATE) > LATE


def test_the_limit_goes_with_the_clock_from_the_first_record_on():
    clock = Clock()
    tempo = Tempo(2.0, clock.read)
    assert tempo.limit_ns(1_000_000_000) == 1_000_000_000
    clock.now += 3
    assert tempo.limit_ns(LATE) == 7_000_000_000
    assert tempo.position_ns == 7_000_000_000


def test_held_it_stays_and_played_it_goes_on_from_there():
    clock = Clock()
    tempo = Tempo(1.0, clock.read)
    tempo.limit_ns(1_000_000_000)
    tempo.hold()
    clock.now += 100
    assert tempo.limit_ns(LATE) == 1_000_000_000
    tempo.play(1.0)
    assert tempo.limit_ns(LATE) == 1_000_000_000
    clock.now += 1
    assert tempo.limit_ns(LATE) == 2_000_000_000


def test_a_step_lets_the_next_record_through_and_no_more():
    tempo = Tempo()
    tempo.run_to(50)
    assert tempo.limit_ns(80) == 50
    tempo.step()
    assert tempo.limit_ns(80) == 80
    assert tempo.limit_ns(90) == 80


def test_a_step_while_playing_holds():
    tempo = Tempo(1.0, Clock().read)
    tempo.limit_ns(50)
    tempo.passed(50, 50)
    tempo.step()
    assert not tempo.playing
    assert tempo.limit_ns(70) == 70
    assert tempo.limit_ns(71) == 70


def test_behind_the_moment_that_is_run_to_it_plays_on_at_a_pace():
    clock = Clock()
    tempo = Tempo(0.0, clock.read)
    tempo.run_to(1_000_000_000, then=1.0)
    assert tempo.playing
    assert tempo.limit_ns(900_000_000) == 1_000_000_000
    assert tempo.limit_ns(LATE) == 1_000_000_000
    clock.now += 1
    assert tempo.limit_ns(LATE) == 2_000_000_000


def test_waiting_is_cut_at_what_is_due():
    slept: list[float] = []
    tempo = Tempo(4.0, Clock().read, slept.append)
    tempo.limit_ns(1_000_000_000)
    tempo.wait(2_000_000_000, 9.0)
    tempo.wait(1_000_000_000, 9.0)
    tempo.hold()
    tempo.wait(2_000_000_000, 0.5)
    assert slept == [0.25, 0.5]
