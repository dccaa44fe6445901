import numpy as np

from tracer.flows.lives import cuts, lives


def story(text):
    """``a+`` starts on key a, ``a-`` ends, ``a.`` neither."""
    parts = text.split()
    keys = np.array([ord(part[0]) for part in parts], dtype=np.uint64)
    starts = np.array([part[1] == "+" for part in parts])
    ends = np.array([part[1] == "-" for part in parts])
    return [life.tolist() for life in lives(keys, cuts(keys, starts, ends))]


def test_one_connection_per_key_is_one_life():
    assert story("a+ b+ a. b- a-") == [[0, 1, 2, 3, 4]]


def test_an_earlier_record_that_is_no_limit_belongs_to_the_start():
    assert story("a. a+ a-") == [[0, 1, 2]]


def test_a_second_start_or_a_start_after_an_end_begins_a_life():
    assert story("a+ a. a+ b+ a.") == [[0, 1, 3], [2, 4]]
    assert story("a- a+ b+") == [[0, 2], [1]]
