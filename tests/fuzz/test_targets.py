"""Every input that fuzzing kept, and every seed, goes through its reader without a fault."""

from __future__ import annotations

import pytest

from fuzz.corpus import kept
from fuzz.seeds import seeds
from fuzz.targets import TARGETS

BYTES = 100_000
"""Read of each target here, spread over what is kept; fuzzing reads all of it."""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_was_once_found_is_read(target):
    inputs = [*kept(target.name), *seeds(target)]
    assert inputs
    step = max(1, sum(map(len, inputs)) // BYTES)
    for data in inputs[::step]:
        target.read(data)
