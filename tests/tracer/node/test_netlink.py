import socket
import struct

import numpy as np
import pytest

from tracer.node.attributes import Block, messages
from tracer.node.netlink import Mailbox, Requests, readable

HEADER = struct.Struct("=IHHII")


def message(kind, body=b"", sequence=1):
    return HEADER.pack(16 + len(body), kind, 0, sequence, 0) + body


def error(number, sequence=1):
    return message(2, struct.pack("=i", -number) + message(0), sequence)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def kernel(pair, monkeypatch):
    """Requests whose kernel is the other end of a socket pair."""
    ours, theirs = pair
    requests = Requests.__new__(Requests)
    requests._socket, requests._sequence = ours, 0
    monkeypatch.setattr(Requests, "_send", lambda self, asked: 1)
    return requests, theirs


def kinds(block: Block):
    return messages(block).types.tolist()


def test_datagrams_are_lanes_and_messages_come_in_order(pair):
    ours, theirs = pair
    theirs.send(message(7) + message(8, b"abcd"))
    theirs.send(message(9))
    box = Mailbox(4, 64)
    block, cut = box.fill(ours.fileno())
    assert (kinds(block), cut) == ([7, 8, 9], 0)
    block, cut = box.fill(ours.fileno())
    assert (kinds(block), cut) == ([], 0)


def test_a_full_mailbox_leaves_the_rest_for_the_next_time(pair):
    ours, theirs = pair
    for kind in range(5):
        theirs.send(message(kind))
    box = Mailbox(3, 64)
    assert [kinds(box.fill(ours.fileno())[0]) for _ in range(2)] == [[0, 1, 2], [3, 4]]


def test_a_datagram_too_long_for_its_slot_is_counted_and_left_out(pair):
    ours, theirs = pair
    theirs.send(message(1))
    theirs.send(message(2, bytes(100)))
    theirs.send(message(3))
    block, cut = Mailbox(4, 64).fill(ours.fileno())
    assert (kinds(block), cut) == ([1, 3], 1)


def test_what_follows_a_broken_header_is_left_out_of_its_lane_only():
    broken = HEADER.pack(3, 1, 0, 1, 0)
    long = HEADER.pack(400, 1, 0, 1, 0)
    lanes = [message(1) + broken + message(2), message(3) + long, message(4), b"", b"abc"]
    assert kinds(Block.of(lanes)) == [1, 3, 4]


def test_a_table_is_read_to_its_end(kernel):
    requests, theirs = kernel
    parts = [message(20), message(20) + message(20), message(3, bytes(4))]
    for part in parts:
        theirs.send(part)
    theirs.send(message(20))
    assert list(requests.dump(22, b"")) == parts


def test_what_was_meant_for_an_earlier_question_is_passed_over(kernel):
    requests, theirs = kernel
    theirs.send(message(20, sequence=0))
    theirs.send(message(21) + message(3, bytes(4)))
    assert [kinds(Block.of([part])) for part in requests.dump(22, b"")] == [[21, 3]]


def test_the_kernel_s_error_is_raised(kernel):
    requests, theirs = kernel
    theirs.send(error(1))
    with pytest.raises(PermissionError):
        list(requests.dump(22, b""))


def test_an_object_that_is_not_there_is_no_answer_and_no_error(kernel):
    requests, theirs = kernel
    theirs.send(message(30))
    theirs.send(error(2, sequence=2))
    theirs.send(message(31, sequence=3))
    assert np.concatenate(
        [messages(Block.of([answer])).types for answer in requests.ask(1, [b"", b"", b""])]
    ).tolist() == [30, 31]


def test_waiting_ends_when_something_comes_or_in_time(pair):
    ours, theirs = pair
    assert readable(ours, 0.0) is False
    theirs.send(b"x")
    assert readable(ours, 10.0) is True
