import pytest

from tests.tracer.node.namespace import inside, run
from tracer import address
from tracer.node import collect
from tracer.node.collect import Collector
from tracer.node.programmed import Traces
from tracer.node.reader import NodeReader

pytestmark = pytest.mark.root

PATIENCE = 40
"""Polls of a tenth of a second until something must have been told."""


def next_state(reader):
    return next((state for _ in range(PATIENCE) if (state := reader.poll(0.1))), None)


def add_an_address():
    collect.told_mode = lambda: ""
    collect.traces = lambda unread: Traces(False, False)
    run("ip link set lo up")
    reader = NodeReader(Collector())
    first = next_state(reader)
    quiet = [reader.poll(0.0) for _ in range(5)]
    run("ip addr add 192.0.2.7/32 dev lo")
    second = next_state(reader)
    reader.close()
    wanted = address.parse("192.0.2.7")
    return wanted in first.local_addresses, quiet, wanted in second.local_addresses


def test_a_new_address_is_told_and_silence_is_not():
    assert inside(add_an_address) == (False, [None] * 5, True)
