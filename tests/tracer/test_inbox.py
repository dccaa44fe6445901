import threading

import numpy as np

from tests.builders import batch, mapping, packet
from tracer.events import EventBatch, Loss, Origin, PacketBytes
from tracer.inbox import Inbox

VIP, POD = "10.96.0.10:80", "10.244.1.5:8080"


def told(number, **more):
    return batch(mapping(number, f"10.0.0.1:{number + 1}", VIP, POD), until=number, **more)


def captured(number, data):
    bytes_ = PacketBytes(
        np.frombuffer(data, np.uint8), np.array([0, len(data)]), np.array([len(data)], np.uint32),
        np.array([1], np.uint16),
    )  # fmt: skip
    return batch(packet(number, VIP, POD, "S"), until=number, origin=Origin.PACKETS, packets=bytes_)


def test_what_piled_up_comes_as_one_batch_per_source():
    inbox = Inbox(live=True)
    for number in range(3):
        inbox.put(told(number, texts={number: str(number)}, lost=Loss(kernel=1)))
        inbox.put(captured(number, b"ab" * (number + 1)))
    kernel, wire = inbox.take(0)
    assert kernel.records["src_port"].tolist() == [1, 2, 3]
    assert kernel.until_ns == told(2).until_ns
    assert (kernel.lost, kernel.texts) == (Loss(kernel=3), {0: "0", 1: "1", 2: "2"})
    assert [wire.packets.packet(row) for row in range(3)] == [b"ab", b"abab", b"ababab"]
    assert inbox.take(0) == []


def test_other_items_keep_their_place():
    inbox = Inbox(live=True)
    for item in (told(0), told(1), "state", told(2), None):
        inbox.put(item)
    first, state = inbox.take(0)
    assert (len(first.records), state) == (2, "state")
    last, end = inbox.take(0)
    assert (len(last.records), end) == (1, None)


def test_who_is_behind_takes_only_the_newest_state_of_each_kind():
    inbox = Inbox(live=True, states=(str, float))
    for item in (told(0), "old", told(1), 1.5, "newer", told(2), "newest", told(3)):
        inbox.put(item)
    batch, number = inbox.take(0)
    assert (len(batch.records), number) == (2, 1.5)
    batch, state = inbox.take(0)
    assert (len(batch.records), state) == (1, "newest")
    inbox.put("later")
    assert [type(item) for item in inbox.take(0)] == [EventBatch, str]


def test_live_input_discards_the_oldest_batch_and_says_so_with_the_next():
    inbox = Inbox(live=True, max_records=3)
    inbox.put("state")
    for number in range(5):
        inbox.put(told(number, lost=Loss(kernel=1)))
    (state,) = inbox.take(0)
    (rest,) = inbox.take(0)
    assert state == "state"
    assert rest.records["src_port"].tolist() == [3, 4, 5]
    assert rest.lost == Loss(kernel=5, queue=2)


def test_a_batch_larger_than_the_inbox_is_taken_all_the_same():
    inbox = Inbox(live=True, max_records=1)
    inbox.put(batch(mapping(0, "10.0.0.1:1", VIP, POD), mapping(0, "10.0.0.1:2", VIP, POD)))
    (taken,) = inbox.take(0)
    assert len(taken.records) == 2


def test_a_file_waits_for_room_and_its_batches_stay_as_they_are():
    inbox = Inbox(live=False, max_records=2)
    reader = threading.Thread(target=lambda: [inbox.put(told(number)) for number in range(50)])
    reader.start()
    seen = []
    while len(seen) < 50:
        seen += inbox.take(1)
    reader.join()
    assert all(isinstance(item, EventBatch) and len(item.records) == 1 for item in seen)
    assert [int(item.records["src_port"][0]) for item in seen] == list(range(1, 51))
    assert not any(item.lost for item in seen)


def test_gathering_ends_when_enough_is_there_or_when_woken():
    inbox = Inbox(live=True)
    inbox.put(told(0))
    inbox.put(told(1))
    inbox.gather(2, timeout=600)
    (both,) = inbox.take(0)
    assert len(both.records) == 2
    inbox.wake()
    inbox.gather(2, timeout=600)


def test_a_waiter_goes_on_with_the_record_it_waits_for():
    inbox = Inbox(live=True)
    waiter = threading.Thread(target=inbox.gather, args=(2, 600))
    waiter.start()
    inbox.put(told(0))
    inbox.put(told(1))
    waiter.join(60)
    assert not waiter.is_alive()
