from functools import reduce
from itertools import pairwise
from operator import or_

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracer.index import Groups, HashIndex, distinct, together

keys = st.lists(st.integers(2, 60), min_size=1, max_size=80)


@given(st.lists(st.tuples(st.sampled_from(["insert", "delete", "lookup"]), keys), max_size=30))
def test_behaves_as_a_dict(steps):
    index, model, stamp = HashIndex(64), {}, 0
    for action, numbers in steps:
        column = np.array(numbers, dtype=np.uint64)
        values = np.arange(stamp, stamp + len(numbers), dtype=np.int64)
        stamp += len(numbers)
        if action == "insert":
            unique, first = np.unique(column, return_index=True)
            index.insert(unique, values[first])
            model.update(zip(unique.tolist(), values[first].tolist(), strict=True))
        elif action == "delete":
            bound = index.lookup(column)
            index.delete(column, bound)
            for number in numbers:
                model.pop(number, None)
        assert index.lookup(column).tolist() == [model.get(n, -1) for n in numbers]
    assert len(index) == len(model)


def test_delete_leaves_a_key_that_was_bound_again():
    index = HashIndex()
    key = np.array([7], dtype=np.uint64)
    index.insert(key, np.array([1]))
    index.insert(key, np.array([2]))
    index.delete(key, np.array([1]))
    assert index.lookup(key).tolist() == [2]


def test_of_equal_keys_in_one_insertion_the_last_wins():
    index = HashIndex(8)
    index.insert(np.array([3, 11, 3, 11, 19, 3], dtype=np.uint64), np.arange(6))
    assert index.lookup(np.array([3, 11, 19], dtype=np.uint64)).tolist() == [5, 3, 4]
    assert len(index) == 3


def test_grows_and_keeps_everything():
    index = HashIndex(16)
    keys = np.arange(2, 100_002, dtype=np.uint64)
    index.insert(keys, np.arange(100_000))
    assert (index.lookup(keys) == np.arange(100_000)).all()
    assert index.lookup(np.array([200_000], dtype=np.uint64)).tolist() == [-1]


def test_distinct_keeps_the_order_of_appearance():
    first, which = distinct(np.array([9, 4, 9, 2, 4], dtype=np.uint64))
    assert first.tolist() == [0, 1, 3]
    assert which.tolist() == [0, 1, 0, 2, 1]


@given(st.lists(st.tuples(st.integers(2, 9), st.integers(0, 255), st.booleans()), max_size=60))
def test_groups_sum_up_what_has_one_key(items):
    numbers = [number for number, _, _ in items]
    bits = np.array([bits for _, bits, _ in items], dtype=np.uint8)
    chosen = [at for at, (_, _, marked) in enumerate(items) if marked]
    groups = Groups.of(np.array(numbers, dtype=np.uint64))
    names = [numbers[at] for at in groups.first().tolist()]
    assert sorted(names) == sorted(set(numbers))
    assert len(groups) == len(names)
    assert [names[group] for group in groups.which.tolist()] == numbers
    for name, first, last, marked, every, count in zip(
        names,
        groups.first().tolist(),
        groups.last().tolist(),
        groups.first_of(np.array(chosen, dtype=np.intp)).tolist(),
        groups.any(bits).tolist(),
        groups.count(np.array(chosen, dtype=np.intp)).tolist(),
        strict=True,
    ):
        mine = [at for at, number in enumerate(numbers) if number == name]
        marks = [at for at in mine if at in chosen]
        assert (first, last, count) == (mine[0], mine[-1], len(marks))
        assert marked == (marks[0] if marks else -1)
        assert every == reduce(or_, bits[mine].tolist())


few = st.integers(0, 3).map(lambda number: number << 60 | number)
"""Of these some differ in their lowest bits alone."""


@given(st.lists(st.one_of(few, st.integers(0, 5), st.integers(0, 2**64 - 1)), max_size=200))
def test_equal_keys_stand_together_in_their_order(numbers):
    order = together(np.array(numbers, dtype=np.uint64)).tolist()
    assert sorted(order) == list(range(len(numbers)))
    brought = [numbers[at] for at in order]
    runs = [at for at, key in enumerate(brought) if not at or brought[at - 1] != key]
    assert len(runs) == len(set(numbers))
    assert all(a < b or numbers[a] != numbers[b] for a, b in pairwise(order))
