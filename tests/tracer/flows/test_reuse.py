"""Ports that come again: as many translations as connections, whichever source tells first."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import join, mapping, packet, record
from tests.tracer.flows.test_table import ends
from tracer.events import Flag, Hook, Origin
from tracer.flow import Seen, State
from tracer.flows import FlowTable

CLIENT, VIP = "10.244.3.8:40000", "10.96.0.10:80"
BACKENDS = {"A": "10.244.1.5:8080", "B": "10.244.2.7:8080"}
LIFE_S = 100
"""Seconds from one connection's beginning to the next one's."""


def made(word):
    """The record of ``2.new.A``: of the second connection, what, and its backend."""
    life, what, letter = word.split(".")
    second, backend = LIFE_S * int(life), BACKENDS[letter]
    replied = {"flags": Flag.DST_NAT | Flag.REPLIED}
    match what:
        case "new":
            return mapping(second, CLIENT, VIP, backend)
        case "update":
            return mapping(second + 1, CLIENT, VIP, backend, hook=Hook.CT_UPDATE, **replied)
        case "killed":  # by the next request
            return mapping(second + LIFE_S, CLIENT, VIP, backend, hook=Hook.CT_END, **replied)
        case "expired":
            return mapping(second + 60, CLIENT, VIP, backend, hook=Hook.CT_END, **replied)
        case "chosen":  # by IPVS
            ends_here = {"nat": (CLIENT, backend), "flags": Flag.IPVS}
            return record(Hook.IPVS_NEW, second, CLIENT, VIP, **ends_here)
        case "dropped":  # for the next one
            ends_here = {"nat": (CLIENT, backend), "flags": Flag.IPVS}
            return record(Hook.IPVS_END, second + LIFE_S, CLIENT, VIP, **ends_here)
        case "ask":
            return packet(second, CLIENT, VIP, "S", seq=1000 * int(life))
        case "asked":
            return packet(second, CLIENT, backend, "S", seq=1000 * int(life))
        case "answer":
            return packet(second + 1, backend, CLIENT, "SA")
        case "answered":
            return packet(second + 1, VIP, CLIENT, "SA")
        case "close":
            return packet(second + 2, CLIENT, VIP, "FA", seq=1000 * int(life) + 9)
    raise ValueError(what)


KERNEL = ("new", "update", "killed", "expired", "chosen", "dropped")


def told(batches):
    """A table that was fed batches of words, ``2.new.A 2.update.A`` being one."""
    table = FlowTable(seed=1)
    for batch in batches:
        words = batch.split()
        kernel = words[0].split(".")[1] in KERNEL
        origin = Origin.CONNTRACK if kernel else Origin.PACKETS
        table.update(join(*map(made, words)), origin)
    return table


@st.composite
def interleaved(draw, *streams):
    """Streams cut into batches anywhere and mixed anyhow, each in its own order."""
    left = [list(stream) for stream in streams]
    batches = []
    while any(left):
        stream = draw(st.sampled_from([stream for stream in left if stream]))
        count = draw(st.integers(1, len(stream)))
        batches.append(" ".join(stream[:count]))
        del stream[:count]
    return batches


@st.composite
def stories(draw, ipvs):
    """Backends of connections one after the other, and batches that tell of them.

    No source is late by as much as a connection's life.
    """
    letters = draw(st.lists(st.sampled_from("AB"), min_size=1, max_size=4))
    batches, killed, dropped = [], [], []
    for life, letter in enumerate(letters, start=1):
        kernel = [*killed, f"{life}.new.{letter}"]
        if ipvs:
            listed = [*dropped, f"{life}.chosen.{letter}"]
            kernel = " ".join(draw(interleaved(kernel, listed))).split()
        batches += draw(interleaved(kernel, [f"{life}.ask.{letter}", f"{life}.asked.{letter}"]))
        seen = [f"{life}.{what}.{letter}" for what in ("answer", "answered", "close")]
        batches += draw(interleaved([f"{life}.update.{letter}"], seen))
        killed, dropped = [f"{life}.killed.{letter}"], [f"{life}.dropped.{letter}"]
        if draw(st.booleans()):
            batches.append(f"{life}.expired.{letter}")
            killed = []
    return "".join(letters), batches, ipvs


@given(st.booleans().flatmap(stories))
@settings(max_examples=150, deadline=None)
def test_each_connection_is_one_translation(story):
    letters, batches, ipvs = story
    table = told(batches)
    rows = table.flows[table.alive()]
    assert Counter(ends(row)[3] for row in rows) == Counter(BACKENDS[one] for one in letters)
    assert all(Seen(int(row["seen"])) & Seen.TRANSLATED for row in rows)
    over = sum(Seen.ENDED in Seen(int(row["seen"])) for row in rows)
    ends_told = sum("killed" in batch or "expired" in batch for batch in batches)
    # Where IPVS has told of the next one on the same backend, nothing leads to the former one.
    assert over == ends_told or (ipvs and over < ends_told)
    assert State.LOST not in rows["state"]


@pytest.mark.parametrize(
    "batches",
    [
        # The next request is seen before the end of the connection that it kills.
        ("1.ask.A", "1.new.A", "2.ask.B", "1.killed.A 2.new.B"),
        # Both are read in the same instant, and the same backend is chosen.
        ("1.new.A", "1.killed.A 2.new.A"),
        # The end alone: the next connection's beginning was not told yet.
        ("1.ask.A", "1.new.A", "2.ask.A", "1.killed.A", "2.new.A"),
    ],
)
def test_the_end_of_a_connection_is_its_own(batches):
    table = told(batches)
    first, second = table.flows[table.alive()]
    assert (first["ended_ns"] != 0, second["ended_ns"]) == (True, 0)
    assert Seen(int(second["seen"])) & Seen.TRANSLATED


@pytest.mark.parametrize(
    "batches",
    [
        ("2.new.B", "2.ask.B", "2.asked.B"),
        ("2.ask.B", "2.new.B", "2.asked.B"),
        ("2.ask.B 2.asked.B", "2.new.B"),
        # The mapping in between was never told of, only its request was seen.
        ("2.ask.A", "3.ask.B", "3.new.B"),
    ],
)
def test_a_mapping_whose_end_nobody_tells_ends_when_its_ports_are_mapped_anew(batches):
    table = told(["1.new.A", "1.ask.A", *batches])
    rows = table.flows[table.alive()]
    first, last = rows[0], rows[-1]
    assert (ends(first)[3], ends(last)[3]) == (BACKENDS["A"], BACKENDS["B"])
    assert first["ended_ns"] == made(f"{2 + ('3.new.B' in batches)}.new.B")["time_ns"][0]
    assert last["ended_ns"] == 0


def test_a_request_on_the_same_ports_ends_no_mapping():
    table = told(["1.new.A", "1.ask.A", "2.ask.A"])
    assert not table.flows["ended_ns"][table.alive()].any()


def test_the_end_of_a_connection_that_is_not_known_ends_no_other():
    table = told(["2.ask.B", "1.killed.A"])
    (row,) = table.flows[table.alive()]
    assert (ends(row)[3], int(row["ended_ns"]), State(int(row["state"]))) == (VIP, 0, State.NEW)


def test_an_end_tells_of_a_translation_whose_beginning_was_lost():
    table = told(["1.ask.A", "1.expired.A"])
    (row,) = table.flows[table.alive()]
    assert ends(row)[3] == BACKENDS["A"]
    assert row["ended_ns"]
