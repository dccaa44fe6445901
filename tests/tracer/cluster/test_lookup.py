"""Look-ups of whole columns against a plain dict."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracer import address
from tracer.cluster.lookup import CHUNK, KeyTable, rest, rest_of

PACKED = st.sampled_from(
    [bytes(16), bytes(15) + b"\1", b"\1" + bytes(15), address.parse("1.2.3.4")]
)
KEYS = st.tuples(PACKED, st.integers(0, 3))


@given(st.dictionaries(KEYS, st.integers(0, 2**31 - 1)), st.lists(KEYS))
def test_it_answers_as_a_dict_would(entries, asked):
    table = KeyTable(entries)
    words = np.array([word for _, word in asked], dtype=np.uint64)
    found = table.find(address.column(packed for packed, _ in asked), words)
    assert found.tolist() == [entries.get(key, -1) for key in asked]


def test_columns_longer_than_a_chunk():
    count = 2 * CHUNK + 7
    entries = {(number.to_bytes(16, "big"), 0): number for number in range(count)}
    addresses = address.column(packed for packed, _ in entries)
    found = KeyTable(entries).find(addresses, np.zeros(count, dtype=np.uint64))
    assert (found == np.arange(count)).all()


def test_the_word_of_a_column_is_that_of_one_key():
    words = rest(np.array([80, 65535], np.uint16), np.array([6, 132], np.uint8))
    assert words.tolist() == [rest_of(80, 6), rest_of(65535, 132)]
