"""Arrays that one end writes are the other's to look at, until it lets go of them."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from tracer.sources import slots
from tracer.sources.slots import Slots


@pytest.fixture
def memory():
    made = Slots()
    yield made
    made.close()
    made.close()


def test_arrays_of_any_kind_come_as_they_were_given(memory):
    given = {
        "time_ns": np.arange(5, dtype=np.int64),
        "port": np.arange(3, dtype=">u2"),
        "src": np.arange(8, dtype=np.uint64).reshape(4, 2),
        "none": np.zeros(0, dtype=np.uint8),
    }
    seen = memory.look(2, memory.put(2, given), lambda slot: None)
    for name, array in given.items():
        assert seen[name].dtype == array.dtype
        assert seen[name].tolist() == array.tolist()


def test_what_is_looked_at_cannot_be_changed(memory):
    seen = memory.look(0, memory.put(0, {"a": np.arange(3)}), lambda slot: None)
    with pytest.raises(ValueError, match="read-only"):
        seen["a"][0] = 1


def test_a_slot_is_done_with_when_its_last_array_is_gone(memory):
    done = []
    seen = memory.look(3, memory.put(3, {"a": np.arange(9), "b": np.arange(9)}), done.append)
    part = seen["b"][2:5]
    del seen
    gc.collect()
    assert done == []
    assert part.tolist() == [2, 3, 4]
    del part
    gc.collect()
    assert done == [3]


def test_slots_do_not_touch(memory, monkeypatch):
    monkeypatch.setattr(slots, "SLOT_BYTES", 1 << 16)
    first = memory.put(0, {"a": np.full(1 << 16, 7, dtype=np.uint8)})
    memory.put(1, {"a": np.full(1 << 16, 9, dtype=np.uint8)})
    assert set(memory.look(0, first, lambda slot: None)["a"].tolist()) == {7}
    with pytest.raises(ValueError, match="do not fit"):
        memory.put(0, {"a": np.zeros((1 << 16) + 1, dtype=np.uint8)})
