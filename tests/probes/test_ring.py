"""The ring is drained in whole slots, over its seam, up to the first unfinished one."""

from __future__ import annotations

import struct

import pytest

from probes.ring import Slots, as_slots

RECORD = 128
SLOT = 8 + RECORD
RING = 4096


class Kernel:
    """The producer's side of an emulated ring: data mapped twice, as the kernel maps it."""

    def __init__(self, start: int = 0) -> None:
        self.consumer, self.producer = bytearray(8), bytearray(8)
        self.data = bytearray(2 * RING)
        self.end = start
        struct.pack_into("=Q", self.consumer, 0, start)
        struct.pack_into("=Q", self.producer, 0, start)
        views = [memoryview(part) for part in (self.consumer, self.data, self.producer)]
        self.slots = Slots(views[0], views[1], views[2], RING, RECORD)

    def write(self, letter: str, flags: int = 0) -> None:
        slot = struct.pack("=II", RECORD | flags, 0) + letter.encode() * RECORD
        for place, byte in enumerate(slot):
            at = (self.end + place) % RING
            self.data[at] = self.data[at + RING] = byte
        self.end += SLOT
        struct.pack_into("=Q", self.producer, 0, self.end)

    def finish(self, slot: int, flags: int = 0) -> None:
        at = slot * SLOT % RING
        for copy in (at, at + RING):
            struct.pack_into("=I", self.data, copy, RECORD | flags)

    def consumed(self) -> int:
        return struct.unpack("=Q", self.consumer)[0]

    def letters(self) -> str:
        block = self.slots.take()
        assert len(block) % SLOT == 0
        return "".join(chr(block[at + 8]) for at in range(0, len(block), SLOT))


BUSY, DISCARDED = 1 << 31, 1 << 30


def test_an_empty_ring_gives_nothing():
    assert Kernel().letters() == ""


def test_everything_finished_is_taken_once():
    ring = Kernel()
    for letter in "abc":
        ring.write(letter)
    assert ring.letters() == "abc"
    assert ring.letters() == ""
    assert ring.consumed() == 3 * SLOT


def test_a_block_crosses_the_seam_in_one_piece():
    ring = Kernel(start=29 * SLOT)
    for letter in "abcdef":
        ring.write(letter)
    assert ring.letters() == "abcdef"


def test_draining_stops_before_a_busy_record_and_goes_on_when_it_is_finished():
    ring = Kernel()
    ring.write("a")
    ring.write("b", BUSY)
    ring.write("c")
    assert ring.letters() == "a"
    assert ring.letters() == ""
    ring.finish(1)
    assert ring.letters() == "bc"


def test_discarded_records_are_skipped_and_their_room_is_given_back():
    ring = Kernel()
    for letter, flags in (("a", 0), ("b", DISCARDED), ("c", 0), ("d", DISCARDED)):
        ring.write(letter, flags)
    assert ring.letters() == "ac"
    assert ring.consumed() == 4 * SLOT


@pytest.mark.parametrize("rounds", [200])
def test_many_rounds_lose_and_repeat_nothing(rounds):
    ring, taken = Kernel(), ""
    for number in range(rounds):
        for letter in "xyz"[: number % 4]:
            ring.write(letter)
        taken += ring.letters()
    assert taken == "".join("xyz"[: number % 4] for number in range(rounds))


def test_records_of_a_perf_buffer_take_the_same_shape():
    block = as_slots([b"a" * RECORD, b"b" * RECORD])
    assert len(block) == 2 * SLOT
    assert block[8:9] + block[SLOT + 8 : SLOT + 9] == b"ab"
