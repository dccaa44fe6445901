import numpy as np

from tests.builders import mapping
from tests.tracer.node.rows import spoken, story
from tracer.events import Hook, no_records
from tracer.node.diff import TableDiff, ended

A = mapping(0, "10.0.0.1:1", "10.96.0.1:80", "10.1.0.1:80")
B = mapping(0, "10.0.0.1:2", "10.96.0.1:80", "10.1.0.1:80")
B_ELSEWHERE = mapping(0, "10.0.0.1:2", "10.96.0.1:80", "10.1.0.2:80")


def table(*rows):
    return np.concatenate((no_records(), *rows))


def test_what_came_and_what_went():
    diff = TableDiff(by_backend=True)
    new, gone = diff.replace(table(A))
    assert (list(map(spoken, new)), len(gone)) == ([spoken(A[0])], 0)
    new, gone = diff.replace(table(A, B))
    assert (list(map(spoken, new)), len(gone)) == ([spoken(B[0])], 0)
    new, gone = diff.replace(table(B))
    assert (len(new), list(map(spoken, gone))) == (0, [spoken(A[0])])


def test_another_backend_is_another_connection_only_where_asked():
    for by_backend, changes in ((True, 1), (False, 0)):
        diff = TableDiff(by_backend=by_backend)
        diff.replace(table(B))
        new, gone = diff.replace(table(B_ELSEWHERE))
        assert (len(new), len(gone)) == (changes, changes)


def test_retain_takes_in_nothing_new():
    diff = TableDiff(by_backend=False)
    diff.replace(table(A, B))
    assert list(map(spoken, diff.retain(table(B)))) == [spoken(A[0])]
    assert len(diff.retain(table(A, B))) == 0
    assert len(diff) == 1


def test_an_end_is_the_same_connection():
    assert story(ended(A, Hook.CT_END, 5)) == [f"CT_END {spoken(A[0])}"]
    assert A["hook"][0] == Hook.CT_NEW
